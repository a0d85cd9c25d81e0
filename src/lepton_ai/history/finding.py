"""Find versions by a filter and list them in an order, in any history: every version is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from lepton_ai.history import listing, states
from lepton_ai.history.filters import facts, grammar, judge, nodes, order
from lepton_ai.history.filters.facts import Facts
from lepton_ai.history.filters.nodes import Expression
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import parse_record, text
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.types import VersionInfo

Labels = dict[bytes, dict[str, tuple[str, ...]]]
"""By the id of a version's first revision: its tags and aliases."""


def versions(
    lines: Lines,
    branch: str | None,
    where: str = "",
    order_by: str = "",
    *,
    deleted: bool = False,
    limit: int | None = None,
) -> list[VersionInfo]:
    """The versions of a branch's line, or of all, that fit: oldest first and the newest ``limit``, or as ordered.

    Deleted ones are among them with ``deleted``, or when the filter says something about the status.

    Raises:
        UsageError: the filter or the order cannot be read.
    """
    wanted, keys = grammar.parse(text(where, "the filter")), order.parse(text(order_by, "the order"))
    fitting = _fitting(lines, branch, wanted, deleted=deleted)
    if not keys.keys:
        return listing.infos(lines, [row for _, row in islice(fitting, limit)][::-1], branch)
    rows = {version.place: (version, row) for version, row in fitting}
    found = order.ordered((version for version, _ in rows.values()), keys)
    return listing.infos(lines, [rows[version.place][1] for version in found[:limit]], branch)


def _fitting(
    lines: Lines, branch: str | None, wanted: Expression, *, deleted: bool
) -> Iterator[tuple[Facts, VersionRow]]:
    """What fits, newest first; places count down from nothing."""
    asked = {field.name for field in nodes.fields(wanted) if field.kind in ("text", "words")}
    labels = _labels(lines) if asked & {"tag", "alias"} else {}
    rows = iter(listing.newest_first(lines, branch))
    place = 0
    while chunk := list(islice(rows, listing.CHUNK)):
        for version, row in zip(_facts(lines, chunk, labels, place), chunk, strict=True):
            if (deleted or "status" in asked or version.status == "Active") and judge.fits(wanted, version):
                yield version, row
        place -= len(chunk)


def _facts(lines: Lines, rows: list[VersionRow], labels: Labels, place: int) -> Iterator[Facts]:
    known = {first: state for first, (_, state) in lines.states([row.first for row in rows]).items()}
    newest = lines.history.versions([bytes.fromhex(state.newest) for state in known.values()])
    firsts, made_on = lines.history.versions([row.first for row in rows]), listing.made_on(lines, rows)
    for number, row in enumerate(rows):
        state = known[row.first]
        shown = newest[bytes.fromhex(state.newest)]
        named = labels.get(row.first, {})
        yield facts.facts(
            place - number,
            made_on.get(row.branch, "?"),
            firsts[row.first].created_at,
            state,
            parse_record(shown.record, shown.id),
            named.get("tag", ()),
            named.get("alias", ()),
        )


def _labels(lines: Lines) -> Labels:
    refs = [ref for kind in ("tag/", "alias/") for ref in lines.history.scan(kind)]
    targets = {ref.key: bytes.fromhex(states.decode(states.LabelState, ref).version) for ref in refs}
    rows = lines.history.versions(list(set(targets.values())))
    found: Labels = {}
    for key, target in targets.items():
        kind, _, name = key.partition("/")
        named = found.setdefault(rows[target].first, {})
        named[kind] = (*named.get(kind, ()), name)
    return found
