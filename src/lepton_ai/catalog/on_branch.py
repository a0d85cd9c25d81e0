"""The versions that a branch has: its line down the first parents, and those that it stepped back behind."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

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


def members(
    connection: Connection, repository: int, branch: Standing, start: bytes | None = None
) -> Iterator[Member]:
    """The versions of a branch, newest first, read as they are asked for; the line from its revision ``start`` on.

    Raises:
        Damaged: a version on the line is missing.
    """
    aside = _aside(connection, repository, branch.uid)
    line = _line(connection, repository, branch.head if start is None else start)
    last: bytes | None = None
    for one in heapq.merge(line, aside, key=lambda member: -member.place):
        if one.first != last:
            yield one
        last = one.first


def _line(connection: Connection, repository: int, start: bytes | None) -> Iterator[Member]:
    known: dict[bytes, tuple[Member, bytes]] = {}
    current = start
    while current:
        if current not in known:
            known = _below(connection, repository, current)
        member, current = known[current]
        yield member


def _below(connection: Connection, repository: int, start: bytes) -> dict[bytes, tuple[Member, bytes]]:
    """A revision and those that were made on the same branch before, with the first parents of each."""
    mine = (VERSIONS.c.repository == repository, FOUND.c.repository == repository)
    joined = VERSIONS.join(
        FOUND, (FOUND.c.repository == VERSIONS.c.repository) & (FOUND.c.first == VERSIONS.c.first)
    )
    parent = func.substr(VERSIONS.c.parents, 1, _ID, type_=Bytes())
    told = (FOUND.c.place, FOUND.c.first, FOUND.c.line, FOUND.c.status)
    query = select(VERSIONS.c.id, parent, *told).select_from(joined).where(*mine)
    first = connection.execute(query.where(VERSIONS.c.id == start)).first()
    if first is None:
        raise Damaged(
            f"version {start.hex()[:12]} is pointed at but missing from the history",
            hint="run lepton verify, then restore from a backup",
        )
    same = query.where(FOUND.c.line == first.line, FOUND.c.place <= first.place)
    rows = [first, *connection.execute(same.order_by(FOUND.c.place.desc()).limit(_BATCH))]
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
