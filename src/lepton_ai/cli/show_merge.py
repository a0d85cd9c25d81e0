"""How ``lepton show`` tells of the merge that made a version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lepton_ai.cli.merge_fates import print_fates, way
from lepton_ai.cli.merge_told import counted
from lepton_ai.cli.output import human_size, print_facts, say, warn


def print_merge(told: Mapping[str, Any], *, everything: bool) -> None:
    """Print what was merged and how, and what became of tensors, files and conflicts; of many the first ones."""
    say("Merge:")
    for line in told["warnings"]:
        warn(line)
    print_facts((f"  {name}", value) for name, value in _facts(told))
    print_fates(told, everything=everything)


def _facts(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    asked = told["request"]
    for side, versions in told["versions"].items():
        yield side.capitalize(), ", ".join(versions)
    yield "Method", way(asked)
    for rule in asked.get("rules", ()):
        yield "Rule", f"{rule['pattern']} = {way(rule)}"
    yield "On conflict", asked.get("on_conflict", "")
    yield "Seed", str(asked.get("seed", ""))
    yield "Everywhere", "yes" if asked.get("everywhere") else ""
    yield "Tensors", counted(Counter(one["outcome"] for one in told["tensors"]) + Counter(same=told["same"]))
    yield "Read", human_size(told["read"])
    for one in told["resolutions"]:
        how = way(one) or one.get("file") or one["how"]
        why = f": {one['why']}" if one.get("why") else ""
        yield "Decided", f"{one['target']} {how}, by {one['by']}{why}"
    for one in told["scores"]:
        result = f"{one['metric']}={one['value']}" if "value" in one else one.get("failure", "")
        yield "Tried", f"{one['candidate']}: {result}"
