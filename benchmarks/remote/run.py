"""Pushing, cloning and updating a series of versions: this tool beside a plain copy, DVC with S3, and git-lfs.

    PYTHONPATH=benchmarks/storage python benchmarks/remote/run.py --series DIR --tools DIR [--only NAME …] [--json FILE]

Every tool has its remote place on this machine. A step is one whole process (or the few that a person types); its
seconds are counted from outside, its bytes are what went over the loopback interface, so nothing else may use that
meanwhile. git-lfs copies to a folder instead, so its bytes are what that folder grew, or its clone holds.
``clone`` gets all versions and the newest model; ``update`` brings a clone of the last but one up to date.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure
from peers.peer import size
from places import MODEL, GitLfs, Place, all_places, put
from services import loopback_bytes


def measured(place: Place, step: Any, home: Path, folder: Path) -> tuple[float, int, int]:
    """Seconds, bytes that travelled, peak bytes of memory of the client."""
    before, held = loopback_bytes(), place.held()
    had = size([folder / ".git"])
    done = measure.run(step, home)
    travelled = loopback_bytes() - before
    if isinstance(place, GitLfs):
        travelled = max(place.held() - held, 0) or size([folder / ".git"]) - had
    return done.seconds, travelled, done.peak


def one_run(place: Place, files: list[Path], folder: Path) -> dict[str, Any]:
    """All steps with all versions, in a fresh place."""
    for name in ("work", "home", "late", "fresh"):
        (folder / name).mkdir(parents=True)
    work, home = folder / "work", folder / "home"
    steps: dict[str, tuple[float, int, int]] = {}
    try:
        for step in place.setup(folder):
            measure.run(step, home)
        for number, file in enumerate(files, 1):
            put(file, work)
            measure.run(place.commit(number), home)
            steps[f"push {number}"] = measured(place, place.push(number), home, work)
            if number == len(files) - 1:
                measure.run(place.clone(folder / "late"), home)
        steps["update"] = measured(place, place.update(folder / "late"), home, folder / "late")
        steps["clone"] = measured(place, place.clone(folder / "fresh"), home, folder / "fresh")
        for clone in ("late", "fresh"):
            if (folder / clone / MODEL).read_bytes() != files[-1].read_bytes():
                raise measure.Failed(f"what {clone} has is not the newest model")
        return {"steps": steps, "held": place.held()}
    finally:
        place.close()


def report(name: str, note: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the runs, and a few lines for people."""
    found: dict[str, Any] = {"name": name, "note": note, "held": runs[-1]["held"], "steps": {}}
    print(f"{name}  ({note}); held there: {runs[-1]['held'] / 1e6:.0f} MB", flush=True)
    for step in runs[0]["steps"]:
        seconds, travelled, peak = (statistics.median(r["steps"][step][i] for r in runs) for i in range(3))
        found["steps"][step] = {"seconds": seconds, "bytes": travelled, "peak": peak}
        print(
            f"  {step:8} {seconds:7.2f} s  {travelled / 1e6:9.1f} MB  peak {peak / 1e6:6.0f} MB", flush=True
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--series", type=Path, required=True, metavar="DIR", help="versions as v1.safetensors …"
    )
    parser.add_argument("--tools", type=Path, default=Path("build/storage/peers"), metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to work (default: beside the series)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    files = sorted(options.series.glob("v*.safetensors"), key=lambda file: int(file.stem[1:]))
    if len(files) < 2:
        parser.error(f"{options.series} holds no series: at least two versions are needed")
    results, failed = [], False
    for place in all_places(options.tools):
        if options.only and place.name not in options.only:
            continue
        if why := place.missing():
            print(f"{place.name}: {why}", flush=True)
            continue
        runs = []
        try:
            for _ in range(options.runs):
                folder = Path(tempfile.mkdtemp(dir=options.work or options.series.parent))
                try:
                    runs.append(one_run(place, files, folder))
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
            results.append(report(place.name, place.note, runs))
        except measure.Failed as problem:
            print(f"{place.name}: {problem}", flush=True)
            failed = True
    if options.json:
        machine = {"machine": platform.machine(), "date": datetime.now(UTC).date().isoformat()}
        about = {"series": options.series.name, "raw": [file.stat().st_size for file in files], **machine}
        options.json.write_text(json.dumps(about | {"places": results}, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
