"""The same merges, asked of us and of mergekit (tools/mergekit_answers.py), which has an environment of its own.

    python -m tests.merges.questions

makes the stored answers again (``mergekit.npz``, questions and answers); MERGEKIT_PYTHON names that environment's
Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

from lepton_ai.history.merges.chance import Chance
from lepton_ai.history.merges.contract import Case
from lepton_ai.history.merges.ranking import uniform
from lepton_ai.history.merges.registry import method
from lepton_ai.testing.merge_cases import Held, case_of, result_of

STORED = Path(__file__).with_name("mergekit.npz")
SCRIPT = Path(__file__).parents[2] / "tools" / "mergekit_answers.py"
MATRIX, VECTOR, KERNEL = (13, 9), (101,), (3, 4, 2, 5)

CASES: list[tuple[str, tuple[int, ...], int, dict[str, Any]]] = [
    ("linear", MATRIX, 2, {"weight": [1.0, 1.0]}),
    ("linear", VECTOR, 3, {"weight": [0.7, -0.2, 1.5]}),
    ("linear", MATRIX, 2, {"weight": [0.7, 0.9], "normalize": False}),
    ("slerp", MATRIX, 2, {"t": 0.3}),
    ("slerp", KERNEL, 2, {"t": 0.75}),
    ("multislerp", MATRIX, 2, {"weight": [1.0, 1.0]}),
    ("multislerp", VECTOR, 3, {"weight": [0.5, 1.0, 2.0]}),
    ("multislerp", VECTOR, 3, {"weight": [0.5, 1.0, 2.0], "normalize_weights": False}),
    ("multislerp+base", MATRIX, 3, {"weight": [0.3, 0.3, 1.0]}),
    ("task_arithmetic", MATRIX, 2, {"weight": [1.0, 1.0]}),
    ("task_arithmetic", VECTOR, 3, {"weight": [0.7, -0.5, 0.2], "normalize": True, "lambda": 0.8}),
    ("task_arithmetic", VECTOR, 2, {"weight": [0.5, -0.5], "normalize": True}),
    ("ties", MATRIX, 2, {"weight": [1.0, 1.0], "density": [0.5, 0.5]}),
    ("ties", KERNEL, 3, {"weight": [0.7, 1.1, -0.4], "density": [0.2, 0.9, 1.0], "lambda": 1.3}),
    ("ties", VECTOR, 2, {"weight": [0.7, 1.1], "density": [0.001, 0.0], "normalize": False}),
    ("ties", VECTOR, 2, {"weight": [0.7, 1.1], "density": [0.3, 0.6], "rescale": True}),
    ("dare_linear", MATRIX, 2, {"weight": [1.0, 0.5], "density": [0.5, 0.3]}),
    ("dare_linear", VECTOR, 2, {"weight": [1.0, 0.5], "density": [0.9, 1.0], "rescale": False}),
    ("dare_ties", MATRIX, 3, {"weight": [1.0, 0.5, 0.7], "density": [0.5, 0.3, 0.8]}),
    ("dare_ties", KERNEL, 2, {"weight": [1.0, 0.5], "density": [0.6, 0.6], "normalize": True}),
    ("della", MATRIX, 2, {"weight": [1.0, 0.5], "density": [0.5, 0.3]}),
    ("della", KERNEL, 2, {"weight": [1.0, 0.5], "density": [0.5, 0.7], "epsilon": [0.2, 0.05]}),
    ("della_linear", VECTOR, 2, {"weight": [1.0, 0.5], "density": [0.5, 1.0], "lambda": 0.7}),
    ("della_linear", MATRIX, 2, {"weight": [1.0, 0.5], "density": [0.6, 0.5], "rescale": False}),
    ("breadcrumbs", MATRIX, 2, {"weight": [1.0, 1.0], "density": [0.5, 0.9], "gamma": [0.05, 0.2]}),
    ("breadcrumbs", VECTOR, 2, {"weight": [1.0, 1.0], "density": [0.5, 0.9], "gamma": [0.001, 0.0]}),
    ("breadcrumbs_ties", KERNEL, 3, {"weight": [1.0, 2.0, 0.5], "density": [0.5, 0.9, 0.2]}),
    ("sce", MATRIX, 2, {}),
    ("sce", VECTOR, 3, {"select_topk": 0.4}),
    ("sce", KERNEL, 2, {"select_topk": 0.0}),
    ("model_stock", MATRIX, 2, {}),
    ("model_stock", VECTOR, 4, {"filter_wise": True}),
    ("model_stock", MATRIX, 3, {"filter_wise": True}),
    ("model_stock", KERNEL, 3, {"filter_wise": True}),
    ("passthrough", MATRIX, 1, {}),
    ("passthrough", MATRIX, 1, {"scale": [0.37]}),
]
"""Method, shape, models, parameters. "+base" gives a base to a method that can do without."""


def question(number: int, size: int = 1) -> tuple[Case, dict[str, Any], bool]:
    """The case ``number``, its parameters as mergekit takes them, and whether it has a base.

    ``size`` multiplies the first dimension.
    """
    name, shape, models, parameters = CASES[number]
    chosen = method(name.removesuffix("+base"))
    shape = (shape[0] * size, *shape[1:])
    random = np.random.default_rng(number)
    base = random.standard_normal(shape, np.float32)
    together = 0.3 * random.standard_normal(
        shape, np.float32
    )  # all pulling apart, Model Stock has no stable answer
    moved = together + 0.3 * random.standard_normal((models, *shape), np.float32)
    others = base + np.where(random.random((models, *shape)) < 0.9, moved, 0).astype(np.float32)
    with_base = chosen.needs_base or name.endswith("+base")
    given = {"base": base if with_base else None, "seed": number}
    return case_of(chosen, list(others), **given, **parameters), parameters, with_base


def asked(cases: dict[int, tuple[Case, dict[str, Any], bool]]) -> dict[str, Any]:
    """The cases as arrays that another process reads."""
    arrays: dict[str, Any] = {}
    for number, (case, parameters, with_base) in cases.items():
        name = CASES[number][0].removesuffix("+base")
        told = {"method": name, "parameters": parameters, "base": with_base}
        arrays[f"{number}.case"] = np.array(json.dumps(told))
        parents = (case.base, *case.models) if with_base else case.models
        for i, parent in enumerate(parents):
            assert parent is not None
            arrays[f"{number}.{i}"] = parent.part(0, parent.size).reshape(parent.shape)
        if name.startswith(("dare", "della")):
            dice = [uniform(Chance(case, i), 0, case.size) for i in range(len(case.models))]
            arrays[f"{number}.dice"] = np.stack(dice)
    return arrays


def read(arrays: Any, number: int) -> Case:
    """The case ``number`` out of what :func:`asked` made."""
    name, _, models, parameters = CASES[number]
    told = json.loads(str(arrays[f"{number}.case"]))
    assert told["parameters"] == parameters, "mergekit.npz is not of these cases: make it again"
    first = int(told["base"])
    some = [arrays[f"{number}.{i}"] for i in range(first + models)]
    base = Held(some[0]) if first else None
    chosen = method(name.removesuffix("+base"))
    return case_of(chosen, some[first:], seed=number, **parameters, base=some[0] if base else None)


def ours(number: int, case: Case) -> Any:
    """What we make of it."""
    return result_of(method(CASES[number][0].removesuffix("+base")), case)


def theirs(python: str, questions: dict[str, Any]) -> Any:
    """What mergekit makes of the questions."""
    with tempfile.TemporaryDirectory() as folder:
        asked_, answered = Path(folder, "questions.npz"), Path(folder, "answers.npz")
        np.savez(asked_, **questions)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([python, str(SCRIPT), str(asked_), str(answered)], check=True, env=environment)
        with np.load(answered) as found:
            return {int(name): found[name] for name in found.files}


def environment(folder: Path) -> str:
    """The Python of an environment with mergekit: that which MERGEKIT_PYTHON names, else one made in ``folder``."""
    if named := os.environ.get("MERGEKIT_PYTHON"):
        return named
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    for package in (
        "torch==2.13.0",
        "mergekit==0.1.5",
    ):  # torch first and alone: asked for otherwise, pip fetches CUDA
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    return python


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        all_of_them = asked({number: question(number) for number in range(len(CASES))})
        answers = theirs(environment(Path(place)), all_of_them)
    np.savez_compressed(STORED, **all_of_them, **{f"{number}.answer": one for number, one in answers.items()})
    sys.stdout.write(f"{STORED}: {STORED.stat().st_size} bytes\n")
