"""The versions that a branch has: its line down the first parents, and those that it stepped back behind."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog.as_written import in_this_order
from lepton_ai.catalog.tables.history import REFS, VERSIONS
from lepton_ai.catalog.tables.search import FOUND
from lepton_ai.catalog.tables.types import Bytes
from lepton_ai.errors import Damaged
from lepton_ai.history.refs import rules

_BATCH = 500
_ID = 32
GONE = ("Deleted", "Purged")
"""The status of versions that lists leave out."""


class Standing(msgspec.Struct, frozen=True):
    """A branch: the revision that it stands on (None: nothing was saved), and its lasting identity."""

    head: bytes | None
    uid: str


class Member(msgspec.Struct, frozen=True, order=True):
    """A version of a branch: its place in the index, the first revision's id, the branch that it was made on, and
    whether it was deleted. ``at`` is the revision that the line goes through.
    """

    place: int
    first: bytes
    line: str
    gone: bool
    at: bytes


def places(connection: Connection, repository: int, firsts: Sequence[bytes]) -> dict[bytes, int]:
    """The places of the versions with these first revisions, as far as there are any."""
    query = select(FOUND.c.first, FOUND.c.place).where(FOUND.c.repository == repository)
    found: dict[bytes, int] = {}
    for start in range(0, len(firsts), _BATCH):
        rows = connection.execute(query.where(FOUND.c.first.in_(firsts[start : start + _BATCH])))
        found |= {bytes(first): place for first, place in rows}
    return found


def members(
    connection: Connection,
    repository: int,
    branch: Standing,
    start: bytes | None = None,
    ahead: int = _BATCH,
) -> Iterator[Member]:
    """The versions of a branch, newest first, read as they are asked for; the line from its revision ``start`` on.

    ``ahead`` of the line are read at first.

    Raises:
        Damaged: a version on the line is missing.
    """
    aside = _aside(connection, repository, branch.uid)
    line = _line(connection, repository, branch.head if start is None else start, ahead)
    last: bytes | None = None
    for one in heapq.merge(line, aside, key=lambda member: -member.place):
        if one.first != last:
            yield one
        last = one.first


def _line(connection: Connection, repository: int, start: bytes | None, ahead: int) -> Iterator[Member]:
    known: dict[bytes, tuple[Member, bytes]] = {}
    current = start
    while current:
        if current not in known:
            known = _below(connection, repository, current, min(ahead, _BATCH))
            ahead *= 2
        member, current = known[current]
        yield member


def _below(
    connection: Connection, repository: int, start: bytes, count: int
) -> dict[bytes, tuple[Member, bytes]]:
    """A revision and ``count`` of those that were made on the same branch before, with the first parents of each."""
    here = (VERSIONS.c.repository == repository, FOUND.c.repository == repository, VERSIONS.c.id == start)
    one = select(FOUND.c.line, FOUND.c.place).join(VERSIONS, VERSIONS.c.first == FOUND.c.first).where(*here)
    top = connection.execute(one).first()
    if top is None:
        raise Damaged(
            f"version {start.hex()[:12]} is pointed at but missing from the history",
            hint="run lepton verify, then restore from a backup",
        )
    same = (FOUND.c.repository == repository, FOUND.c.line == top.line, FOUND.c.place <= top.place)
    told = select(FOUND.c.place, FOUND.c.first, FOUND.c.line, FOUND.c.status).where(*same)
    walk = told.order_by(FOUND.c.place.desc()).limit(count).subquery("walk")
    parent = func.substr(VERSIONS.c.parents, 1, _ID, type_=Bytes())
    query = in_this_order(select(VERSIONS.c.id, parent, *walk.c)).select_from(
        walk.join(VERSIONS, (VERSIONS.c.repository == repository) & (VERSIONS.c.first == walk.c.first))
    )
    rows = connection.execute(query)
    return {
        bytes(id_): (
            Member(place, bytes(one), line, status in GONE, bytes(id_)),
            bytes(above or b""),
        )
        for id_, above, place, one, line, status in rows
    }


def _aside(connection: Connection, repository: int, uid: str) -> list[Member]:
    """Versions that the branch stepped back behind, newest first."""
    prefix = f"off/{uid}/"
    query = select(REFS.c.key).where(REFS.c.repository == repository, REFS.c.key > prefix)
    keys = [row[0] for row in connection.execute(query.where(REFS.c.key < (rules.above(prefix) or "")))]
    firsts = [bytes.fromhex(key.removeprefix(prefix)) for key in keys]
    found = []
    for start in range(0, len(firsts), _BATCH):
        rows = select(FOUND.c.place, FOUND.c.first, FOUND.c.line, FOUND.c.status).where(
            FOUND.c.repository == repository, FOUND.c.first.in_(firsts[start : start + _BATCH])
        )
        found += [
            Member(place, bytes(first), line, status in GONE, b"")
            for place, first, line, status in connection.execute(rows)
        ]
    return sorted(found, reverse=True)
