"""Merging two tuned models: seconds and largest resident set of whole processes, beside mergekit on the same inputs.

    MERGEKIT_PYTHON=…/python python benchmarks/merge/run.py [--layers 8] [--dtype bfloat16] [--repeat 3] [--json FILE]

MERGEKIT_PYTHON is the Python of an environment with mergekit 0.1.5. mergekit reads three files and writes one. Ours
merges two branches of an encrypted repository: it reads stored blocks and stores the merged version, hashed, packed
and sealed; "and a file" adds writing it out. Input files are in the page cache for both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from models import MODELS, write

WEIGHTS = {"weight": 0.6}
METHODS: dict[str, dict[str, Any]] = {
    "linear": {"weight": 0.5},
    "slerp": {"t": 0.4},
    "task_arithmetic": WEIGHTS,
    "ties": {**WEIGHTS, "density": 0.4},
    "dare_linear": {**WEIGHTS, "density": 0.4},
}


def yaml_of(method: str, told: dict[str, Any], dtype: str) -> str:
    """mergekit's configuration; JSON is YAML."""
    base = {"linear": None, "slerp": "left"}.get(method, "base")
    config: dict[str, Any] = {
        "merge_method": method,
        "models": [{"model": name} for name in ("left", "right")],
        "parameters": told,
        "dtype": dtype,
    }
    return json.dumps(config | ({"base_model": base} if base else {}))


def run(argv: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Of a process: seconds, those that processors worked for it, and the largest resident set in MB."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(
                f"{' '.join(argv)}: exit code {process.returncode}\n{said.read().decode()[-2000:]}"
            )
    peak = usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024) / 1e6
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": peak}


def theirs(
    python: str, folder: Path, method: str, dtype: str, environment: dict[str, str]
) -> dict[str, float]:
    """mergekit."""
    (folder / "merge.yml").write_text(yaml_of(method, METHODS[method], dtype))
    options = ["--no-copy-tokenizer", "--no-write-model-card", "--quiet"]
    command = [python, "-m", "mergekit.scripts.run_yaml", "merge.yml", "out", *options]
    measured = run(command, folder, environment)
    shutil.rmtree(folder / "out")
    return measured | {"with_a_file": measured["seconds"]}


def lepton(folder: Path, environment: dict[str, str], *arguments: str) -> dict[str, float]:
    """One command of ours."""
    return run([str(Path(sys.executable).with_name("lepton")), *arguments], folder, environment)


def ours(folder: Path, method: str, environment: dict[str, str]) -> dict[str, float]:
    """Merge the branch right into left in a copy of the repository; then write the merged file out."""
    copy = folder / "copy"
    shutil.copytree(folder / "repository", copy)
    told = [f"--param={name}={value}" for name, value in METHODS[method].items()]
    try:
        measured = lepton(copy, environment, "merge", "right", "--into", "left", "--method", method, *told)
        more = lepton(copy, environment, "checkout", "left", "-o", str(folder / "checked-out"))
    finally:
        shutil.rmtree(copy)
        shutil.rmtree(folder / "checked-out", ignore_errors=True)
    return measured | {"with_a_file": measured["seconds"] + more["seconds"]}


def prepare(folder: Path, layers: int, dtype: str, environment: dict[str, str]) -> int:
    """The three models as files, and as a repository with two branches; the bytes of one."""
    repository = folder / "repository"
    repository.mkdir()
    for number, name in enumerate(MODELS):
        # In a process of its own: the memory of this one would count for all that it starts.
        with ProcessPoolExecutor(1, get_context("spawn")) as other:
            weights = other.submit(write, folder / name, layers, dtype, number).result()
        if number:
            lepton(repository, environment, "branch", name, "--from", "v1")
        shutil.copy(weights, repository / "model.safetensors")
        lepton(repository, environment, "save", "model.safetensors", *(["-b", name] if number else []))
    (repository / "model.safetensors").unlink()
    return weights.stat().st_size


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of the times, the largest of the memory."""
    return {
        name: (max if name == "peak_mb" else statistics.median)([one[name] for one in runs])
        for name in runs[0]
    }


def told(row: dict[str, Any]) -> str:
    """A line for people."""
    sides = [(name, row[name]) for name in ("lepton", "mergekit") if name in row]
    return f"{row['method']:16}" + " · ".join(
        f"{name} {one['seconds']:6.1f} s (CPU {one['cpu']:6.1f} s), with a file {one['with_a_file']:6.1f} s,"
        f" {one['peak_mb']:5.0f} MB"
        for name, one in sides
    )


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    python = os.environ.get("MERGEKIT_PYTHON")
    results = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        mine = os.environ | {"HOME": place, "XDG_CONFIG_HOME": place, "LEPTON_AI_NO_PROVENANCE": "1"}
        plain = {name: value for name, value in mine.items() if name != "PYTHONPATH"} | {
            "HF_HUB_OFFLINE": "1"
        }
        size = prepare(folder, given.layers, given.dtype, mine)
        print(
            f"three models of {size / 1e9:.2f} GB, {given.dtype}, {os.cpu_count()} cores, median of {given.repeat}"
        )
        for method in given.only:
            row: dict[str, Any] = {"method": method, "bytes": size, "dtype": given.dtype}
            row["lepton"] = middle([ours(folder, method, mine) for _ in range(given.repeat)])
            if python:
                some = [theirs(python, folder, method, given.dtype, plain) for _ in range(given.repeat)]
                row["mergekit"] = middle(some)
            results.append(row)
            print(told(row), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"platform": platform.platform(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
