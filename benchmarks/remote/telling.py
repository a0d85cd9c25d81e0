"""The table, from the JSON that run.py writes.

python benchmarks/remote/telling.py benchmarks/results/remote.json > docs/benchmarks-remote.md
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

INTRODUCTION = """# Push, update and clone, measured beside others

Written by `make bench` (`benchmarks/remote/run.py`); nothing on this page is typed by hand.

Measured on {date}: {processor}, {processors} processors, {memory:.0f} GB of memory, {system}, Python {python}; \
load average at the start {load}. {count} versions of one model, {size:,.0f} MB each ({series}); {runs} runs, medians. \
Every tool's remote place is on the same machine, so the seconds are those of the tools and of the disk: over a line \
of 100 Mbit/s, every 12 MB are a second more.

- **push N**: version N goes there, after it was saved locally. What the receiver confirms is on its disk (moto, the \
S3 store, keeps it in memory).
- **update**: a clone that has all versions but the newest gets that one, and its model into the folder.
- **clone**: all versions into a new folder, with the newest model in it.
- **held there**: what the remote place keeps of all versions.

Seconds are of the whole processes that a person starts (`lepton pull` and `lepton checkout`, `git pull` and \
`dvc pull`, …), bytes are all that went over the loopback interface, in both directions. MB are 10⁶ bytes. What the \
clones hold in the end was compared byte for byte.
"""


def medians(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of every step: seconds, bytes, peak."""
    runs = found["runs"]
    return {
        step: {key: statistics.median(run["steps"][step][key] for run in runs) for key in of}
        for step, of in runs[0]["steps"].items()
    }


def rows(known: dict[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings, and (tool, cells); a tool with a problem has that as its only cell."""
    steps: list[str] = []
    found: list[tuple[str, list[str]]] = []
    for place in known["places"]:
        if place["problem"] or not place["runs"]:
            found.append((place["name"], [" ".join((place["problem"] or "not measured").split())]))
            continue
        of = medians(place)
        steps = list(of)
        cells = [f"{one['seconds']:.1f} s, {one['bytes'] / 1e6:,.0f} MB" for one in of.values()]
        peak = max(one["peak"] for one in of.values())
        held = statistics.median(run["held"] for run in place["runs"])
        found.append((place["name"], [*cells, f"{held / 1e6:,.0f} MB", f"{peak / 1e6:,.0f} MB"]))
    return [*steps, "held there", "client's peak memory"], found


def plain(known: dict[str, Any]) -> str:
    """For a terminal."""
    headings, found = rows(known)
    lines = [f"{'':18}" + "".join(f"{heading:>22}" for heading in headings)]
    for name, cells in found:
        lines.append(
            f"{name:18}" + ("".join(f"{cell:>22}" for cell in cells) if len(cells) > 1 else cells[0])
        )
    return "\n".join(lines)


def page(known: dict[str, Any]) -> str:
    """The whole of docs/benchmarks-remote.md."""
    machine = known["machine"]
    headings, found = rows(known)
    opening = INTRODUCTION.format(
        date=known["date"], processor=machine["processor"], processors=machine["processors"],
        memory=machine["memory"] / 1e9, system=machine["system"], python=machine["python"],
        load=machine["load"][0], count=len(known["raw"]), size=max(known["raw"]) / 1e6, series=known["series"],
        runs=max((len(place["runs"]) for place in known["places"]), default=0),
    )  # fmt: skip
    lines = ["| | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(headings)]
    for name, cells in found:
        lines.append(f"| {name} | " + " | ".join(cells + [""] * (len(headings) - len(cells))) + " |")
    tools = [
        f"- **{place['name']}** ({place['version'] or 'not installed'}): {place['note']}"
        for place in known["places"]
    ]
    return "\n".join([opening, *lines, "", *tools]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path)
    print(page(json.loads(parser.parse_args().json.read_text())), end="")


if __name__ == "__main__":
    main()
