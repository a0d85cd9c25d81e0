"""Resident memory of merging two large models, and how many bytes a merge of small changes reads.

    python -m benchmarks.merge.memory [--gib 2] [--json FILE]

Each merge runs as a process of its own; its largest resident set is what the operating system counted. The targets:
under 700 MB for two models of 2 GB; and where each side changed half a percent of the blocks, under 5 % of the bytes of
both models read for deciding and computing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.memory import SIDE, run, write_layers

TARGET_MB = 700
TARGET_READ = 0.05
METHODS = ("ours", "linear", "slerp", "task_arithmetic", "ties", "dare_ties")


def write_model(path: Path, layers: int, drift: Callable[[int], np.ndarray | float]) -> None:
    """The base, with each layer moved by its drift."""

    def weights(layer: int) -> np.ndarray:
        found = np.random.default_rng(layer).standard_normal((SIDE, SIDE), dtype=np.float32) * 0.02
        found += drift(layer)
        return found

    write_layers(path, layers, weights)


def everywhere(seed: int) -> Callable[[int], np.ndarray | float]:
    """A fine-tune: every weight moved."""
    return lambda layer: (
        np.random.default_rng([seed, layer]).standard_normal((SIDE, SIDE), dtype=np.float32) * 1e-3
    )


def few(layers: int, seed: int) -> Callable[[int], np.ndarray | float]:
    """Half a percent of the blocks: in the first layer, as the other side, and in one of its own."""
    blocks = max(1, round(layers * 32 * 0.005))

    def drift(layer: int) -> np.ndarray | float:
        if layer not in (0, seed):
            return 0.0
        moved = np.zeros((SIDE, SIDE), np.float32)
        moved.reshape(-1)[: (blocks // 2 or 1) * (1 << 19)] = 1e-2 * seed
        return moved

    return drift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    layers = max(4, int(arguments.gib * (1 << 30)) // (SIDE * SIDE * 2))
    rows = []
    with tempfile.TemporaryDirectory(prefix="lepton-merge-") as folder:
        root = Path(folder)
        os.environ["XDG_CONFIG_HOME"] = os.environ["HOME"] = str(root / "home")
        file = root / "model.safetensors"
        opening = f"from lepton_ai.repository import ModelRepository\nrepo = ModelRepository({str(root / 'repo')!r})\n"
        steps = (("main", lambda _: 0.0), ("left", everywhere(1)), ("right", everywhere(2)))
        steps += (("few1", few(layers, 1)), ("few2", few(layers, 2)))
        for branch, drift in steps:
            write_model(file, layers, drift)
            begin = f"repo.create_branch({branch!r}, 'main@v1')\n" if branch != "main" else ""
            run(opening + begin + f"repo.save_files({str(file)!r}, {branch!r})")
        for method in arguments.methods:
            begin = f"repo.create_branch('into-{method}', 'left')\n"
            rows.append(_merge(opening + begin, "right", f"into-{method}", method, layers))
        rows.append(_merge(opening, "few2", "few1", "linear", layers))
    read = rows[-1]["read"] / rows[-1]["total"]
    print(f"of the small change {read:.1%} read   {'ok' if read < TARGET_READ else 'OVER'}")
    print(f"({platform.machine()}, {os.cpu_count()} processors, {arguments.gib} GiB)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"gib": arguments.gib, "rows": rows}, indent=1))


def _merge(opening: str, source: str, into: str, method: str, layers: int) -> dict[str, object]:
    report = str(Path(tempfile.gettempdir()) / f"lepton-merge-{os.getpid()}.json")
    code = (
        f"v = repo.merge_branch({source!r}, {into!r}, method={method!r})\n"
        f"open({report!r}, 'w').write(str(v.merged.read))\n"
    )
    seconds, peak = run(opening + code)
    read = int(Path(report).read_text())
    Path(report).unlink()
    total = 2 * layers * SIDE * SIDE * 2
    print(
        f"{into:24} {seconds:8.1f} s {peak:8.1f} MB {read / total:7.1%} read   "
        f"{'ok' if peak < TARGET_MB else 'OVER'}",
        flush=True,
    )
    return {
        "merge": into,
        "method": method,
        "seconds": seconds,
        "peak_mb": peak,
        "read": read,
        "total": total,
    }


if __name__ == "__main__":
    main()
