"""How ``lepton show`` tells of the merge that made a version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lepton_ai.cli.merge_told import COLUMNS, counted
from lepton_ai.cli.output import human_size, pairs, print_facts, print_table, printable, say, warn


def print_merge(told: Mapping[str, Any]) -> None:
    """Print what was merged and how, and what became of tensors, files and conflicts."""
    say("Merge:")
    for line in told["warnings"]:
        warn(line)
    print_facts((f"  {name}", value) for name, value in _facts(told))
    shown = [one for one in told["tensors"] if one.get("why") or one.get("method")]
    if shown:
        print_table(COLUMNS, ((t["name"], t["outcome"], _way(t), t.get("why", "")) for t in shown))
    for file in told["files"]:
        why = f" ({file['why']})" if file.get("why") else ""
        say(f"  {printable(file['path'])}: {file['outcome']}{why}")


def _facts(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    asked = told["request"]
    for side, versions in told["versions"].items():
        yield side.capitalize(), ", ".join(versions)
    yield "Method", _way(asked)
    for rule in asked.get("rules", ()):
        yield "Rule", f"{rule['pattern']} = {_way(rule)}"
    yield "On conflict", asked.get("on_conflict", "")
    yield "Seed", str(asked.get("seed", ""))
    yield "Everywhere", "yes" if asked.get("everywhere") else ""
    yield "Tensors", counted(Counter(one["outcome"] for one in told["tensors"]) + Counter(same=told["same"]))
    yield "Read", human_size(told["read"])
    for one in told["resolutions"]:
        how = one.get("method") or one.get("file") or one["how"]
        why = f": {one['why']}" if one.get("why") else ""
        yield "Decided", f"{one['target']} {how}, by {one['by']}{why}"
    for one in told["scores"]:
        result = f"{one['metric']}={one['value']}" if "value" in one else one.get("failure", "")
        yield "Tried", f"{one['candidate']}: {result}"


def _way(told: Mapping[str, Any]) -> str:
    return f"{told.get('method', '')} {pairs(dict(told.get('parameters', {})))}".strip()
