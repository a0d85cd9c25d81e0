"""The tables, from the JSON that run.py writes.

python benchmarks/storage/report.py benchmarks/results/storage.json > docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

HEADINGS = (
    "MB stored",
    "of raw",
    "first version",
    "later ones",
    "first save s",
    "save s",
    "restore s",
    "slowest restore s",
    "save peak MB",
    "restore peak MB",
    "bytes, us = 1",
)

INTRODUCTION = """# Storage, measured beside others

Written by `make bench` (`benchmarks/storage/run.py`); nothing on this page is typed by hand.

Measured on {date}: {processor}, {processors} processors, {memory:.0f} GB of memory, {system}, Python {python}; \
load average at the start {load}. Page cache: {cache}. {passes} passes; each pass gives every tool an empty store, \
saves all versions and restores them, newest first. Every restored file was compared byte for byte.

- **MB stored**: everything that the tool keeps after the last save; **of raw**: as a part of all versions' bytes.
- **first version**, **later ones**: what v1 and each version after it (median) added, as a part of its own bytes.
- **first save**, **save**: seconds of the whole process, for v1 and for the later versions (median of all passes).
- **restore**: the newest version (median); **slowest restore**: of any version.
- **peak**: the largest resident set of any one process, MB.
- **bytes, us = 1**: the bytes stored, as a multiple of what `lepton` with its defaults stores.

MB are 10⁶ bytes. The disk is flushed before each operation and outside the measured time; what a tool itself flushes \
counts (lepton makes each save durable; most others leave that to the operating system, see `flush` in the JSON).
"""


def figures(peer: dict[str, Any], raw: list[int], ours: float | None) -> list[float | None]:
    """One row of the table, in the order of HEADINGS."""
    passes = peer["passes"]
    stored = [statistics.median(one["saves"][i]["stored"] for one in passes) for i in range(len(raw))]
    added = [
        (after - before) / size for before, after, size in zip(stored, stored[1:], raw[1:], strict=False)
    ]
    back: dict[int, list[float]] = {}
    for one in passes:
        for row in one["restores"]:
            back.setdefault(row["version"], []).append(row["seconds"])
    later = [row["seconds"] for one in passes for row in one["saves"][1:]]
    return [
        stored[-1] / 1e6,
        stored[-1] / sum(raw),
        stored[0] / raw[0],
        statistics.median(added) if added else None,
        statistics.median(one["saves"][0]["seconds"] for one in passes),
        statistics.median(later) if later else None,
        statistics.median(back[max(back)]),
        max(statistics.median(times) for times in back.values()),
        max(row["peak"] for one in passes for row in one["saves"]) / 1e6,
        max(row["peak"] for one in passes for row in one["restores"]) / 1e6,
        stored[-1] / ours if ours else None,
    ]


def rows(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(peer, cells); a peer with a problem has that as its only cell."""
    first = next((one for one in result["peers"] if one["peer"] == "lepton" and not one["problem"]), None)
    ours = figures(first, result["raw"], None)[0] if first else None
    found: list[tuple[str, list[str]]] = []
    for peer in result["peers"]:
        if peer["problem"]:
            found.append((peer["peer"], [" ".join(peer["problem"].split())]))
            continue
        numbers = figures(peer, result["raw"], ours * 1e6 if ours else None)
        digits = (1, 3, 3, 4, 2, 2, 2, 2, 0, 0, 2)
        cells = ["–" if n is None else f"{n:.{d}f}" for n, d in zip(numbers, digits, strict=True)]
        found.append((peer["peer"], cells))
    return found


def plain(result: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [
        f"{result['series']}: {len(result['raw'])} versions, {sum(result['raw']) / 1e6:.1f} MB raw",
        f"{'':34}" + "".join(f"{heading:>19}" for heading in HEADINGS),
    ]
    for name, cells in rows(result):
        lines.append(
            f"{name:34}" + ("".join(f"{cell:>19}" for cell in cells) if len(cells) > 1 else cells[0])
        )
    return "\n".join(lines) + "\n"


def markdown(result: dict[str, Any]) -> str:
    """A section of the page."""
    seed = "" if result["seed"] is None else f", seed {result['seed']}"
    lines = [
        f"## {result['series']}",
        "",
        f"{len(result['raw'])} versions, {sum(result['raw']) / 1e6:.1f} MB raw{seed}.",
        "",
        "| | " + " | ".join(HEADINGS) + " |",
        "|---|" + "---:|" * len(HEADINGS),
    ]
    for name, cells in rows(result):
        lines.append(f"| {name} | " + " | ".join(cells + [""] * (len(HEADINGS) - len(cells))) + " |")
    return "\n".join(lines) + "\n"


def formats(results: list[dict[str, Any]]) -> str:
    """How the other formats of one series compare with its safetensors, where both were measured."""
    parts = {}
    for result in results:
        for peer in result["peers"]:
            if peer["peer"] == "lepton" and not peer["problem"]:
                parts[result["series"]] = figures(peer, result["raw"], None)[1] or 0.0
    base = parts.get("minilm-fp32")
    others = [name for name in ("minilm-pt", "minilm-h5", "minilm-onnx") if name in parts]
    if not base or not others:
        return ""
    lines = [
        "## The same weights in other formats",
        "",
        "Part of raw that lepton stores, beside safetensors.",
        "",
    ]
    lines += ["| | of raw | beside safetensors |", "|---|---:|---:|", f"| minilm-fp32 | {base:.3f} | |"]
    lines += [f"| {name} | {parts[name]:.3f} | {parts[name] / base - 1:+.1%} |" for name in others]
    return "\n".join(lines) + "\n"


def page(known: dict[str, Any]) -> str:
    """The whole of docs/benchmarks.md."""
    machine = known["machine"]
    opening = INTRODUCTION.format(
        date=known["date"],
        passes=known["passes"],
        cache=known["cache"],
        processor=machine["processor"],
        processors=machine["processors"],
        memory=machine["memory"] / 1e9,
        system=machine["system"],
        python=machine["python"],
        load=machine["load"][0],
    )
    tools = {}
    for result in known["results"]:
        for one in result["peers"]:
            tools[one["peer"]] = f"- **{one['peer']}** ({one.get('version', 'not installed')}): {one['note']}"
    parts = [opening, "\n".join(["## The tools", "", *tools.values()]) + "\n"]
    parts += [markdown(result) for result in known["results"]]
    return "\n".join(part for part in (*parts, formats(known["results"])) if part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path)
    print(page(json.loads(parser.parse_args().json.read_text())), end="")


if __name__ == "__main__":
    main()
