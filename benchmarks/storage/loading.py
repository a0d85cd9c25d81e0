"""`load_model` against `safetensors.load_file` and a clone of every tensor, each in a process of its own.

    python benchmarks/storage/loading.py [--series DIR] [--only NAME …] [--runs 7]

Every version of a series is saved, then the newest and the oldest are loaded. A process imports everything (also what
this package imports when first used) and opens the repository first, loads once and ends, because memory that a process
touches for the first time costs both alike.
The model must equal the plain file's. At most 3.5 times the plain file is the target for the newest version; exit code
1 when it takes longer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 3.5
PLAIN = """
import sys, time, torch
from safetensors.torch import load_file
start = time.perf_counter()
model = {name: tensor.clone() for name, tensor in load_file(sys.argv[1]).items()}
print(time.perf_counter() - start)
"""
OURS = """
import sys, time, torch
import cryptography.hazmat.primitives.ciphers.aead, platformdirs, zstandard
import lepton_ai.formats.frameworks.safetensors_direct, lepton_ai.history.loading
from lepton_ai import ModelRepository
from safetensors.torch import load_file
repo = ModelRepository(sys.argv[2])
start = time.perf_counter()
model = repo.load_model(sys.argv[3], "main")
print(time.perf_counter() - start)
plain = load_file(sys.argv[1])
assert model.keys() == plain.keys() and all(torch.equal(model[name], plain[name]) for name in plain)
"""


def seconds(program: str, *arguments: object) -> float:
    """What the program says it took."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def save(repository: Path, files: list[Path]) -> None:
    """All versions of the series, as v1, v2 …"""
    from lepton_ai import ModelRepository

    with ModelRepository(repository) as repo:
        for file in files:
            (repository / "model.safetensors").unlink(missing_ok=True)
            (repository / "model.safetensors").hardlink_to(file)
            repo.save_files(repository / "model.safetensors")


def measure(name: str, files: list[Path], runs: int) -> float:
    """Print a line for the series; how many times as long the newest version takes."""
    with tempfile.TemporaryDirectory(dir=files[0].parent.parent) as folder:
        os.environ |= {"HOME": folder, "XDG_CONFIG_HOME": folder, "LEPTON_AI_NO_PROVENANCE": "1"}
        repository = Path(folder) / "repository"
        repository.mkdir()
        save(repository, files)
        taken: dict[str, list[float]] = {"plain": [], "newest": [], "oldest": []}
        for _ in range(runs):  # in turn, so that what else the machine does hits all of them
            taken["plain"].append(seconds(PLAIN, files[-1]))
            taken["newest"].append(seconds(OURS, files[-1], repository, f"v{len(files)}"))
            taken["oldest"].append(seconds(OURS, files[0], repository, "v1"))
    middle = {what: statistics.median(times) for what, times in taken.items()}
    ratio = middle["newest"] / middle["plain"]
    parts = "  ".join(f"{what} {time:6.3f} s" for what, time in middle.items())
    print(f"{name:16} {parts}  newest / plain {ratio:.2f}  (median of {runs})", flush=True)
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=Path, default=Path("build/storage/series-1"), metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="(every series of safetensors)")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    found = {
        folder.name: sorted(folder.glob("v*.safetensors"), key=lambda file: int(file.stem[1:]))
        for folder in sorted(options.series.iterdir())
        if folder.is_dir() and (folder / "series.json").exists()
    }
    chosen = options.only or [name for name, files in found.items() if files and name != "branches"]
    ratios = [measure(name, found[name], options.runs) for name in chosen]
    return int(any(ratio > MOST for ratio in ratios))


if __name__ == "__main__":
    sys.exit(main())
