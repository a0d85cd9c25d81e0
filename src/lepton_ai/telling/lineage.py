"""Versions with their parents, as ``lepton log --graph`` draws them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from lepton_ai.history import graph, listing, states
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.repository import ModelRepository
from lepton_ai.telling.graph import Node
from lepton_ai.types import Record, Status

CHUNK = 500


class Drawn(msgspec.Struct, frozen=True):
    """A version in the drawing, as its newest revision.

    ``labels`` are the branches that stand on it, and tags and aliases as "tag/NAME", "alias/NAME"; ``source`` is the
    name of the version that a rollback, merge or import took over, with its branch where that is another one.
    """

    node: Node
    record: Record
    id: str
    status: Status
    labels: tuple[str, ...]
    source: str


def lineage(repository: ModelRepository, branch: str | None, limit: int | None) -> list[Drawn]:
    """The newest ``limit`` versions, newest first: those that a branch is built upon, or all.

    Raises:
        NotFound: there is no such branch.
    """
    rows = islice(_rows(repository.lines, branch, None, CHUNK if limit is None else min(CHUNK, limit)), limit)
    return _drawn(repository, [row for _, row in rows])


def drawn_page(
    repository: ModelRepository, branch: str | None, *, before: int | None, limit: int
) -> tuple[list[Drawn], int | None]:
    """The same from the version numbered ``before`` on; and where the next page begins."""
    rows = list(islice(_rows(repository.lines, branch, before, limit + 1), limit + 1))
    more = rows[limit - 1][0] if len(rows) > limit else None
    return _drawn(repository, [row for _, row in rows[:limit]]), more


def _drawn(repository: ModelRepository, rows: list[VersionRow]) -> list[Drawn]:
    lines = repository.lines
    known = lines.states([row.first for row in rows])
    newest = lines.history.versions([bytes.fromhex(state.newest) for _, state in known.values()])
    records = {row.first: parse_record(row.record, row.id) for row in newest.values()}
    near = _near(lines, rows, records)
    heads = repository.home.heads.on(known)
    drawn = []
    for row in rows:
        state, record = known[row.first][1], records[row.first]
        source = near.get(bytes.fromhex(record.operation.source)) if record.operation.source else None
        node = Node(row.first, _parents(row, near), _sign(record, state))
        drawn.append(
            Drawn(
                node,
                record,
                state.newest,
                listing.status_of(state),
                (*heads.get(row.first, ()), *_labels(state)),
                _called(source, record) if source else "",
            )
        )
    return drawn


def _rows(
    lines: Lines, branch: str | None, before: int | None, size: int
) -> Iterator[tuple[int, VersionRow]]:
    """First revisions with their numbers, newest first, read ``size`` at a time."""
    reached = _reached(lines, branch) if branch is not None else None
    while page := lines.history.page(before=before, limit=size):
        before = page[-1][0]
        yield from ((number, row) for number, row in page if reached is None or row.first in reached)


def _reached(lines: Lines, branch: str) -> set[bytes]:
    """Ids of the first revisions of everything that a branch is built upon."""
    head = lines.branch(branch).head
    ids = graph.ancestors(lines.history, [head] if head else [])
    return {row.first for row in lines.history.versions(sorted(ids)).values()}


def _near(lines: Lines, rows: list[VersionRow], records: dict[bytes, Record]) -> dict[bytes, VersionRow]:
    """Rows of parents and sources, by the id of the revision that is meant."""
    ids = {parent for row in rows for parent in row.parents}
    ids |= {bytes.fromhex(r.operation.source) for r in records.values() if r.operation.source}
    return lines.history.versions(sorted(ids))


def _parents(row: VersionRow, near: dict[bytes, VersionRow]) -> tuple[bytes, ...]:
    """Ids of the parents' first revisions: a version is one node in all its revisions."""
    return tuple(near[parent].first for parent in row.parents if parent in near)


def _labels(state: states.VersionState) -> list[str]:
    """Tags, then aliases, of a version in any of its revisions."""
    return [key for kind in ("tag/", "alias/") for key in sorted(state.pins) if key.startswith(kind)]


def _called(row: VersionRow, record: Record) -> str:
    """The name of what was taken over, as people on the branch of ``record`` say it."""
    source = parse_record(row.record, row.id)
    return source.name if source.branch == record.branch else f"{source.branch}@{source.name}"


def _sign(record: Record, state: states.VersionState) -> str:
    if state.deleted is not None or state.purged_at is not None:
        return "○"
    return {"rollback": "↺", "merge": "◆"}.get(record.operation.kind, "●")
