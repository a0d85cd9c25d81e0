"""What becomes, or became, of the tensors and files of a merge: what counts most first, and not more than a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lepton_ai.cli.output import Column, pairs, print_table, printable, say

COLUMNS = (Column("Tensor", wrap=True), Column("Outcome"), Column("Method"), Column("Why", wrap=True))
MOST = 20
"""Lines of a list that are shown unasked."""


def print_fates(told: Mapping[str, Any], *, everything: bool) -> None:
    """Print the tensors for which something was to be decided, and the files."""
    shown = [one for one in told["tensors"] if one.get("why") or one.get("method") or _introduces(one)]
    shown.sort(key=lambda one: (one["outcome"] != "conflict", not _introduces(one), not one.get("why")))
    if shown:
        some = shown if everything else shown[:MOST]
        print_table(COLUMNS, ((one["name"], one["outcome"], way(one), one.get("why", "")) for one in some))
        _say_rest(len(shown) - len(some))
    print_lines([_file(one) for one in told["files"]], everything=everything)


def print_lines(lines: Sequence[str], *, everything: bool) -> None:
    """Print lines; of many only the first ones, and how many more there are."""
    some = lines if everything else lines[:MOST]
    for line in some:
        say(printable(line))
    _say_rest(len(lines) - len(some))


def way(told: Mapping[str, Any]) -> str:
    """A method with its parameters."""
    return f"{told.get('method', '')} {pairs(dict(told.get('parameters', {})))}".strip()


def _file(told: Mapping[str, Any]) -> str:
    why = f" ({told['why']})" if told.get("why") else ""
    return f"  {told['path']}: {told['outcome']}{why}"


def _introduces(told: Mapping[str, Any]) -> bool:
    return bool(told.get("introduced_nan") or told.get("introduced_inf"))


def _say_rest(count: int) -> None:
    if count:
        say(f"  and {count} more: --all lists them")
