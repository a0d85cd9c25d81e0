"""Fuzz every reader of a file format: `python tools/fuzz.py --mutations 10000 [--reader NAME] [--seed N]`.

Cases are made from the files in tests/formats/seeds by mutators that know each format (lepton_ai.testing.structure).
A case that breaks a promise is kept in OUT/failures; `--replay FILE` reads it again. At the end stand the cases
understood and refused and the branches of the readers' code that were reached; OUT/fuzz.json has the same.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import coverage

from lepton_ai.formats.detect import formats
from lepton_ai.testing.fuzzing import Broken, Limits, case, examine, samples_in, twists

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "tests" / "formats" / "seeds"
MEASURED = "lepton_ai.formats"
NOT_MEASURED = "*/formats/frameworks/*"
PIECE = 2500
"""Cases of one process."""


@dataclass
class Tally:
    """What became of the cases of one reader."""

    cases: int = 0
    understood: int = 0
    slowest: float = 0.0
    largest: int = 0
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """Cases that a reader gave Malformed for."""
        return self.cases - self.understood - len(self.problems)


def main() -> int:
    """Fuzz, or replay; 1 when a promise was broken."""
    options = arguments()
    if options.replay:
        return replay(options.replay, options.reader[0] if options.reader else None)
    shutil.rmtree(options.out, ignore_errors=True)
    (options.out / "failures").mkdir(parents=True)
    names = options.reader or [reader.name for reader in formats() if (SEEDS / reader.name).is_dir()]
    tallies = {name: Tally() for name in names}
    begun = time.monotonic()
    starts = [(name, first) for first in range(0, options.mutations, PIECE) for name in names]
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(piece, tallies[name], name, first, options) for name, first in starts]
        for done, (job, (name, first)) in enumerate(zip(jobs, starts, strict=True), 1):
            job.result()
            say(f"{done}/{len(jobs)} {name} {first}… {len(tallies[name].problems)} problems, "
                f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    for name, tally in tallies.items():
        keep(name, tally, options)
    report(tallies, measured(options.out), options)
    return int(any(tally.problems for tally in tallies.values()))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=10_000, help="cases for each reader (10000)")
    parser.add_argument("--reader", action="append", help="only this reader; can be given several times")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other cases (1)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (2)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "fuzz", help="where results go (build/fuzz)"
    )
    parser.add_argument("--replay", type=Path, help="read a kept case again (or, with --reader, any file)")
    return parser.parse_args()


def say(text: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def piece(tally: Tally, name: str, first: int, options: argparse.Namespace) -> None:
    """Run PIECE cases in a process; when it dies, the case that it was at is a problem, and the next one begins."""
    last = min(first + PIECE, options.mutations)
    while first < last:
        status, errors = 0, ""
        for line in outcomes(name, first, last, options):
            if "died" in line:
                status, errors = int(str(line["died"])), str(line["errors"])
            else:
                first = int(str(line["number"])) + 1
                count(tally, line)
        if first < last:
            count(tally, {"number": first, "problem": f"the process ended with {status}: {errors[-300:]}"})
            first += 1


def outcomes(name: str, first: int, last: int, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """What a worker tells, line by line, and of its end."""
    command = [sys.executable, "-m", "coverage", "run", "--rcfile", os.devnull, "--branch", "--parallel-mode"]
    command += ["--data-file", str(options.out / ".coverage"), "--source", MEASURED, "--omit", NOT_MEASURED]
    command += [str(Path(__file__).with_name("fuzz_worker.py")), name, str(SEEDS)]
    command += [str(options.seed), str(first), str(last)]
    errors = options.out / f"{name}-{first}.err"
    with (
        errors.open("w+") as stream,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream) as worker,
    ):
        assert worker.stdout is not None
        yield from map(json.loads, worker.stdout)
    if worker.returncode:
        yield {"died": worker.returncode, "errors": errors.read_text()}
    errors.unlink()


def count(tally: Tally, line: dict[str, object]) -> None:
    """Add one outcome."""
    tally.cases += 1
    if "problem" in line:
        tally.problems[int(str(line["number"]))] = str(line["problem"])
    else:
        tally.understood += bool(line["understood"])
        tally.slowest = max(tally.slowest, float(str(line["seconds"])))
        tally.largest = max(tally.largest, int(str(line["peak"])))


def keep(name: str, tally: Tally, options: argparse.Namespace) -> None:
    """Write the cases that broke a promise, and forget those that only coverage made too slow or too large."""
    reader = next(reader for reader in formats() if reader.name == name)
    samples = samples_in(SEEDS / name, reader)
    for number, problem in list(tally.problems.items()):
        files, main_file = case(name, samples, options.seed, number)
        path = options.out / "failures" / f"{name}-{options.seed}-{number}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            kept = {"reader": name, "main": main_file, "problem": problem[:1000]}
            archive.comment = json.dumps(kept | {"seed": options.seed, "number": number}).encode()
            for file, data in files.items():
                archive.writestr(file, data)
        command = [sys.executable, __file__, "--replay", str(path)]
        costly = problem.startswith("it takes")
        if costly and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            path.unlink()
            del tally.problems[number]
            say(f"{name} {number} is all right when no coverage is measured: {problem}")


def replay(path: Path, name: str | None) -> int:
    """Read a case again, first against the clock, then with every allocation counted."""
    main_file, files = path.name, {path.name: path.read_bytes()}
    kept = {"seed": 0, "number": 0}
    if name is None:
        with zipfile.ZipFile(io.BytesIO(files[path.name])) as archive:
            kept = json.loads(archive.comment)
            name, main_file = str(kept["reader"]), str(kept["main"])
            files = {member: archive.read(member) for member in archive.namelist()}
        say(f"{name}, {main_file}: {kept['problem']}")
    reader = next(reader for reader in formats() if reader.name == name)
    try:
        twisted = [twists(reader.name, kept["seed"], kept["number"]) for _ in range(2)]
        outcome = examine(reader, files, main_file, rng=twisted[0])
        tracemalloc.start()
        peak = examine(reader, files, main_file, Limits(seconds=None), twisted[1]).peak
    except Broken as broken:
        say(f"broken: {broken}")
        if broken.__cause__:
            raise broken.__cause__ from None
        return 1
    say(f"{'understood' if outcome.understood else outcome.refusal}; {outcome.seconds:.3f} s, {peak} bytes")
    return 0


def measured(out: Path) -> dict[str, dict[str, int]]:
    """For each module: statements and branches, and how many of them were reached."""
    collected = coverage.Coverage(data_file=str(out / ".coverage"), branch=True, config_file=False)
    collected.combine([str(out)])
    collected.json_report(outfile=str(out / "coverage.json"))
    files = json.loads((out / "coverage.json").read_text())["files"]
    keys = ("num_statements", "covered_lines", "num_branches", "covered_branches")
    found = {
        re.sub(r".*/lepton_ai/formats/", "", Path(path).as_posix()): {
            key: entry["summary"][key] for key in keys
        }
        for path, entry in files.items()
    }
    return {path: numbers for path, numbers in sorted(found.items()) if numbers["num_statements"]}


def report(
    tallies: dict[str, Tally], modules: dict[str, dict[str, int]], options: argparse.Namespace
) -> None:
    """Print both tables, and write them as JSON."""
    say(
        f"\n{'reader':<14}{'cases':>8}{'understood':>12}{'refused':>9}{'problems':>10}{'slowest s':>11}{'MiB':>6}"
    )
    for name, tally in tallies.items():
        say(f"{name:<14}{tally.cases:>8}{tally.understood:>12}{tally.refused:>9}{len(tally.problems):>10}"
            f"{tally.slowest:>11.3f}{tally.largest >> 20:>6}")  # fmt: skip
        for number, problem in tally.problems.items():
            say(f"    {number}: {problem}")
    say(f"\n{'module':<36}{'lines':>12}{'branches':>12}{'reached':>9}")
    total = {"num_branches": 0, "covered_branches": 0, "num_statements": 0, "covered_lines": 0}
    for path, numbers in [*modules.items(), ("all", total)]:
        if numbers is not total:
            total.update({key: total[key] + value for key, value in numbers.items()})
        lines = f"{numbers['covered_lines']}/{numbers['num_statements']}"
        branches = f"{numbers['covered_branches']}/{numbers['num_branches']}"
        share = numbers["covered_branches"] / numbers["num_branches"] if numbers["num_branches"] else 1.0
        say(f"{path:<36}{lines:>12}{branches:>12}{share:>9.1%}")
    result = {"seed": options.seed, "readers": {name: asdict(tally) for name, tally in tallies.items()}}
    (options.out / "fuzz.json").write_text(json.dumps(result | {"modules": modules}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
