"""Versions with their parents, as ``lepton log --graph`` draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history import listing, states
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.repository import ModelRepository
from lepton_ai.telling.graph import Node
from lepton_ai.types import Record, Status

CHUNK = 500
LEAST = 8
"""Versions that are read at a time where few of them belong to a branch."""
_TOLD = 100
"""Open versions that a page tells the next one."""
Places = Callable[[Sequence[bytes]], Mapping[bytes, int]]
"""From the ids of first revisions to the numbers of those that there are."""


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


class Begin(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: before the version of this number (0: at the newest), at the versions that those before it
    come from and that are still to be drawn. Without any of these the way to them is gone once more.
    """

    before: int = 0
    open: tuple[bytes, ...] = ()


_BEGINNING = Begin()


def lineage(repository: ModelRepository, branch: str | None, limit: int | None) -> list[Drawn]:
    """The newest ``limit`` versions, newest first: those that a branch is built upon, or all.

    Raises:
        NotFound: there is no such branch.
    """
    size = CHUNK if limit is None else min(CHUNK, limit)
    rows = (
        _all(repository.lines, None, size) if branch is None else Built(repository.lines, size).rows(branch)
    )
    return _drawn(repository, [row for _, row in islice(rows, limit)])


def drawn_page(
    repository: ModelRepository, *, before: int | None, limit: int
) -> tuple[list[Drawn], int | None]:
    """All versions, from the one numbered ``before`` on; and where the next page begins."""
    rows = list(islice(_all(repository.lines, before, limit + 1), limit + 1))
    more = rows[limit - 1][0] if len(rows) > limit else None
    return _drawn(repository, [row for _, row in rows[:limit]]), more


def built_upon_page(
    repository: ModelRepository, branch: str, begin: Begin, places: Places, *, limit: int
) -> tuple[list[Drawn], Begin | None]:
    """Those that a branch is built upon, and where the next page begins. Takes time in proportion to the page.

    Raises:
        NotFound: there is no such branch.
        UsageError: ``begin`` names versions that are not there.
    """
    built = Built(repository.lines, limit, places)
    found = list(islice(built.rows(branch, begin), limit))
    more = Begin(found[-1][0], tuple(built.open) if len(built.open) <= _TOLD else ()) if built.open else None
    return _drawn(repository, [row for _, row in found]), more


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


def _all(lines: Lines, before: int | None, size: int) -> Iterator[tuple[int, VersionRow]]:
    """First revisions with their numbers, newest first, read ``size`` at a time."""
    while page := lines.history.page(before=before, limit=size):
        before = page[-1][0]
        yield from page


class Built:
    """What a branch is built upon, newest first, as it is asked for.

    Versions are numbered as they came, parents before children: from the newest on, every version is seen after all
    that come from it. ``open`` are those that some of the seen come from and that were not seen themselves.
    """

    def __init__(self, lines: Lines, size: int, places: Places | None = None) -> None:
        self.open: set[bytes] = set()
        self._lines, self._size, self._places = lines, size, places

    def rows(self, branch: str, begin: Begin = _BEGINNING) -> Iterator[tuple[int, VersionRow]]:
        """First revisions with their numbers, read some at a time: fewer where few of them belong to it."""
        head = self._lines.branch(branch).head
        self.open = set(begin.open) or set(self._firsts([head] if head else []).values())
        before: int | None = begin.before if begin.open else None
        size = self._size
        while self.open:
            before = before if self._places is None else self._newest() + 1
            page = self._lines.history.page(before=before, limit=size)
            if not page:
                return
            before = page[-1][0]
            firsts = self._firsts([parent for _, row in page for parent in row.parents])
            seen = 0
            for number, row in page:
                if row.first not in self.open:
                    continue
                seen += 1
                self.open.remove(row.first)
                self.open |= {firsts[parent] for parent in row.parents if parent in firsts}
                if not begin.before or number < begin.before:
                    yield number, row
            size = max(LEAST, min(self._size, 2 * seen))

    def _newest(self) -> int:
        """The number of the newest that is open."""
        assert self._places is not None  # noqa: S101  (asked only with it)
        found = self._places(sorted(self.open))
        if len(found) < len(self.open):
            raise UsageError("this cursor is not of this list", hint="begin again without a cursor")
        return max(found.values())

    def _firsts(self, ids: list[bytes]) -> dict[bytes, bytes]:
        return {row.id: row.first for row in self._lines.history.versions(sorted(set(ids))).values()}


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
