"""How long everyday commands take to start, as multiples of bare Python's start.

    python benchmarks/startup.py [--versions 1000] [--runs 9]

Target: `import lepton_ai` under 60 ms; every command at most 30 times bare Python on a repository of 1,000 versions.
Exit code 1 when one is over its target.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST = 30.0
IMPORT_MOST = 0.060
LEPTON = str(Path(sys.executable).with_name("lepton"))


def make_repository(folder: Path, versions: int) -> None:
    """A repository with many small versions, a branch, tags and an alias."""
    from lepton_ai import ModelRepository

    file = folder / "weights.bin"
    repo = ModelRepository(folder / "repo", author="Ada")
    for number in range(versions):
        file.write_bytes(number.to_bytes(4, "little") * 64)
        repo.save_files(file, metrics={"accuracy": number / versions}, message=f"Epoch {number}")
    for number in range(1, 11):
        repo.tag(f"release-{number}", f"v{number * versions // 10}")
    repo.set_alias("production", f"v{versions}")
    repo.create_branch("experiment")
    repo.close()


def median(command: list[str], folder: Path, runs: int) -> float:
    """Seconds of the whole process, the first run aside."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"HOME": name, "XDG_CONFIG_HOME": name, "LEPTON_AI_NO_PROVENANCE": "1"}
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled files are kept, as in any installation
        make_repository(folder, options.versions)
        place = folder / "repo"
        bare = median([sys.executable, "-c", "pass"], place, options.runs)
        package = median([sys.executable, "-c", "import lepton_ai"], place, options.runs)
        print(f"{options.versions} versions, median of {options.runs} runs")
        print(f"{'bare Python':24} {bare * 1000:7.1f} ms")
        print(
            f"{'import lepton_ai':24} {(package - bare) * 1000:7.1f} ms above that (at most {IMPORT_MOST * 1000:.0f})"
        )
        missed = package - bare > IMPORT_MOST
        for arguments in (
            ["--help"],
            ["versions"],
            ["log"],
            ["tag"],
            ["versions", "--json"],
            ["show", "v7"],
        ):
            taken = median([LEPTON, *arguments], place, options.runs)
            missed |= taken > MOST * bare
            line = " ".join(["lepton", *arguments])
            print(f"{line:24} {taken * 1000:7.1f} ms  {taken / bare:5.1f} x (at most {MOST:.0f})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
