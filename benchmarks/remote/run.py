"""Pushing, cloning and updating a series of versions: this tool beside a plain copy, DVC with S3, and git-lfs.

    PYTHONPATH=benchmarks/storage python benchmarks/remote/run.py [--series DIR] [--tools DIR] [--only NAME …]
        [--runs 3] [--json FILE] [--docs docs/benchmarks-remote.md]

Every tool has its remote place on this machine. A step is one whole process (or the few that a person types); its
seconds are counted from outside, its bytes are what went over the loopback interface, so nothing else may use that
meanwhile. ``clone`` gets all versions and the newest model; ``update`` brings a clone of the last but one up to date.
Each run gives every tool an empty place; what a clone holds in the end is compared byte for byte. A tool that is not
installed (benchmarks/storage/install-peers.sh) or that fails stands in the table with the reason. The disk is flushed
before each step and outside the measured time. The table comes from the JSON by report.py; --docs writes the page.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure
import telling
from peers import Step
from places import MODEL, Place, all_places, put
from services import loopback_bytes

BUSY = 0.5
"""Load average above which the seconds are worth little."""


def measured(step: Step, home: Path) -> dict[str, float]:
    """Seconds, bytes that travelled, peak bytes of memory of the client."""
    before = loopback_bytes()
    done = measure.run(step, home)
    return {"seconds": round(done.seconds, 4), "bytes": loopback_bytes() - before, "peak": done.peak}


def one_run(place: Place, files: list[Path], folder: Path) -> dict[str, Any]:
    """All steps with all versions, in a fresh place."""
    for name in ("work", "home", "late", "fresh"):
        (folder / name).mkdir(parents=True)
    work, home, late, fresh = (folder / name for name in ("work", "home", "late", "fresh"))
    steps: dict[str, dict[str, float]] = {}
    try:
        for step in place.setup(folder):
            measure.run(step, home)
        for number, file in enumerate(files, 1):
            put(file, work)
            measure.run(place.commit(number), home)
            steps[f"push {number}"] = measured(place.push(number), home)
            if number == len(files) - 1:
                measure.run(place.clone(late), home)
        steps["update"] = measured(place.update(late), home)
        steps["clone"] = measured(place.clone(fresh), home)
        for clone in (late, fresh):
            if not filecmp.cmp(clone / MODEL, files[-1], shallow=False):
                raise measure.Failed(f"what {clone.name} has is not the newest model")
        return {"steps": steps, "held": place.held()}
    finally:
        place.close()


def once(place: Place, files: list[Path], where: Path) -> dict[str, Any]:
    """One run in a folder that is removed."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=where))
    try:
        return one_run(place, files, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()


def about(place: Place, home: Path) -> dict[str, Any]:
    """What the tool is; ``problem`` when it cannot be measured."""
    problem = place.missing()
    said = measure.run(place.version(), home).output.splitlines()[0] if problem is None else ""
    return {"name": place.name, "note": place.note, "version": said, "problem": problem, "runs": []}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    series = Path("build/storage/series-1/gpt-1gb-bf16")
    parser.add_argument("--series", type=Path, default=series, metavar="DIR", help="v1.safetensors …")
    parser.add_argument("--tools", type=Path, default=Path("build/storage/peers"), metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to work (default: beside the series)")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/remote.json"), metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page too")
    options = parser.parse_args()
    options.files = sorted(options.series.glob("v*.safetensors"), key=lambda file: int(file.stem[1:]))
    if len(options.files) < 2:
        parser.error(f"{options.series} holds no series: benchmarks/storage/build.py makes them")
    options.work = (options.work or options.series.parent).resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def main() -> int:
    options = parsed()
    if os.getloadavg()[0] > BUSY:
        print(f"The load is {os.getloadavg()[0]:.1f}: take no seconds from this run.", file=sys.stderr)
    known: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": measure.machine(),
        "series": options.series.name,
        "raw": [file.stat().st_size for file in options.files],
        "places": [],
    }
    places = [p for p in all_places(options.tools) if not options.only or p.name in options.only]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as home:
        known["places"] = [about(place, Path(home)) for place in places]
    for number in range(options.runs):
        for place, found in zip(places, known["places"], strict=True):
            if found["problem"] is not None:
                continue
            print(f"run {number + 1}: {place.name}", file=sys.stderr, flush=True)
            try:
                found["runs"].append(once(place, options.files, options.work))
            except (measure.Failed, subprocess.CalledProcessError) as failure:
                found["problem"] = f"failed: {failure}"
            options.json.write_text(json.dumps(known, indent=1) + "\n")
    print(telling.plain(known))
    if options.docs:
        options.docs.write_text(telling.page(known))
    return int(any("failed" in (found["problem"] or "") for found in known["places"]))


if __name__ == "__main__":
    sys.exit(main())
