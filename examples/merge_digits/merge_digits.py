"""Two specialists, merged by every method: who knows all ten digits?

A network is trained a little on all digits. Two branches train it further, one on 0 to 4, the other on 5 to 9 only;
each forgets what the other learns. Then the branches are merged by every method, and at last by the one that a program
finds best (``evaluate``). Fisher tensors and Gram matrices, which two methods need, are versions of their own.

    python examples/merge_digits/merge_digits.py [FOLDER]
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

import torch
from digits import HIGH, LOW, accuracy, fisher, grams, network, train

from lepton_ai import ModelRepository, Version

METHODS = {
    "linear": {},
    "slerp": {},
    "multislerp": {},
    "task_arithmetic": {},
    "ties": {"density": 0.6},
    "dare_linear": {"density": 0.8},
    "dare_ties": {"density": 0.8},
    "della": {"density": 0.8, "epsilon": 0.1},
    "della_linear": {"density": 0.8, "epsilon": 0.1},
    "breadcrumbs": {"density": 0.9, "gamma": 0.01},
    "breadcrumbs_ties": {"density": 0.9, "gamma": 0.01},
    "sce": {},
    "model_stock": {},
    "fisher": {},
    "regmean": {},
    "take_ours": {},
    "take_theirs": {},
    "take_base": {},
}
"""Every method, some with parameters."""
AIDS = {"fisher": "fisher", "regmean": "gram"}
"""What some methods need besides the models."""


def parents(repo: ModelRepository) -> None:
    """Save the parent on main, and the two specialists on branches of their own."""
    parent = train(network(), range(10), epochs=2, rate=0.01)
    repo.save_model(parent.state_dict(), "main", "digits", message="all digits, a little")
    for name, classes in (("low", LOW), ("high", HIGH)):
        branch = repo.create_branch(name)
        net = train(parent, classes, epochs=5, rate=0.02)
        repo.save_model(net.state_dict(), branch, "digits", params={"classes": list(classes)})
        for kind, measure in (("fisher", fisher), ("gram", grams)):
            repo.create_branch(f"{kind}-{name}", branch)
            repo.save_model(measure(net, classes), f"{kind}-{name}", "digits")


def measured(version: Version) -> tuple[float, float, float]:
    """Accuracy on all digits, on the low and on the high ones."""
    state = version.load()
    return accuracy(state), accuracy(state, LOW), accuracy(state, HIGH)


def merged(repo: ModelRepository, method: str, parameters: dict[str, float]) -> Version:
    """Merge the specialists by a method, on a branch of its own."""
    branch = repo.create_branch(f"by-{method}", "low")
    kind = AIDS.get(method)
    aids = {kind: [f"{kind}-low", f"{kind}-high"]} if kind else None
    version = repo.merge_branch("high", branch, method=method, parameters=parameters, aids=aids)
    assert version is not None
    return version


def run(folder: Path) -> None:
    """Train, merge, and print what everyone knows."""
    torch.set_num_threads(1)  # the same numbers every time
    with ModelRepository(folder) as repo:
        parents(repo)
        told = {name: measured(repo.version(name)) for name in ("main", "low", "high")}
        told |= {method: measured(merged(repo, method, given)) for method, given in METHODS.items()}
        print(f"{'':20}{'all':>8}{'0 to 4':>8}{'5 to 9':>8}")
        for name, numbers in told.items():
            print(f"{name:20}" + "".join(f"{number:8.3f}" for number in numbers))
        best = max(METHODS, key=lambda method: told[method])
        print(
            f"\nbest merge: {best}, {told[best][0]:.3f}; its parents: {told['low'][0]:.3f} and {told['high'][0]:.3f}"
        )

        low = repo.create_branch("chosen", "low")
        command = shlex.join([sys.executable, str(Path(__file__).with_name("evaluate.py")), "{dir}"])
        aids = {kind: [f"{kind}-low", f"{kind}-high"] for kind in AIDS.values()}
        candidates = ["ours", "theirs", "linear", best]
        chosen = repo.merge_branch("high", low, evaluate=command, candidates=candidates, aids=aids)
        assert chosen is not None
        assert chosen.merged is not None
        tried = ", ".join(f"{score.candidate} {score.value:.3f}" for score in chosen.merged.scores)
        print(f"tried by evaluate.py: {tried}; kept: {chosen.metrics['accuracy']:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            run(Path(place) / "digits")
