"""Whether a branch has a version, told without going through the branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, and_, case, func, literal, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog.on_branch import Member, Standing, members
from lepton_ai.catalog.tables.history import REFS, VERSIONS
from lepton_ai.catalog.tables.types import Bytes
from lepton_ai.errors import Damaged

SHORT = 1000
"""A branch of so few versions is listed; of a longer one it is asked whether it has a version."""
_ASKING = 8
"""Asking about one version costs as much as listing so many."""
_ID = 32


class Line:
    """Which of a repository's versions a branch has."""

    def __init__(self, connection: Connection, repository: int, branch: Standing) -> None:
        self._connection, self._repository, self._branch = connection, repository, branch
        self._depth = -1 if branch.head is None else self._depth_of(branch.head)
        self._listed: set[int] | None = None
        self._asked = 0

    @property
    def short(self) -> bool:
        """Whether it is so short that all of it is listed soon."""
        return self._depth < SHORT

    def members(self) -> Iterator[Member]:
        """All of them, newest first."""
        return members(self._connection, self._repository, self._branch)

    def has(self, versions: Sequence[tuple[int, bytes]]) -> set[int]:
        """Of some versions (place, first revision) the places of those that it has.

        They are found over jump pointers, a few steps for each; when it gets to asking about many, all are listed.

        Raises:
            Damaged: a version on the line is missing.
        """
        self._asked += len(versions)
        if self._listed is None and self._asked * _ASKING > self._depth:
            self._listed = {member.place for member in self.members()}
        if self._listed is not None:
            return {place for place, _ in versions} & self._listed
        firsts = [first for _, first in versions]
        keys = {f"off/{self._branch.uid}/{first.hex()}": first for first in firsts}
        query = select(REFS.c.key).where(REFS.c.repository == self._repository, REFS.c.key.in_(list(keys)))
        there = {keys[row[0]] for row in self._connection.execute(query)} | self._on_line(firsts)
        return {place for place, first in versions if first in there}

    def _depth_of(self, revision: bytes) -> int:
        query = select(VERSIONS.c.depth).where(VERSIONS.c.repository == self._repository)
        found = self._connection.execute(query.where(VERSIONS.c.id == revision)).scalar()
        if found is None:
            raise _missing(revision)
        return int(found)

    def _on_line(self, firsts: list[bytes]) -> set[bytes]:
        """Those that are where the line is as deep as they are."""
        rows = self._connection.execute(self._reached(firsts)).all()
        deep = select(func.count()).where(
            VERSIONS.c.repository == self._repository,
            VERSIONS.c.id.in_(firsts),
            VERSIONS.c.depth <= self._depth,
        )
        if len(rows) < self._connection.execute(deep).scalar_one():
            raise _missing(self._branch.head or b"")
        return {bytes(first) for first, there in rows if bytes(first) == bytes(there)}

    def _reached(self, firsts: list[bytes]) -> Select[Any]:
        """For each version the one on the line that is as deep: from the head down, far where that is not too far."""
        mine = VERSIONS.c.repository == self._repository
        wanted = select(
            VERSIONS.c.id.label("first"),
            VERSIONS.c.depth.label("target"),
            literal(self._branch.head, Bytes(_ID)).label("id"),
            literal(self._depth, VERSIONS.c.depth.type).label("depth"),
        ).where(mine, VERSIONS.c.id.in_(firsts), VERSIONS.c.depth <= self._depth)
        down = wanted.cte("down", recursive=True)
        at, far = VERSIONS.alias("at"), VERSIONS.alias("far")
        jumps = func.coalesce(far.c.depth, -1) >= down.c.target
        step = (
            select(
                down.c.first,
                down.c.target,
                case((jumps, far.c.id), else_=func.substr(at.c.parents, 1, _ID, type_=Bytes())),
                case((jumps, far.c.depth), else_=down.c.depth - 1),
            )
            .select_from(down)
            .join(at, and_(at.c.repository == self._repository, at.c.id == down.c.id))
            .outerjoin(far, and_(far.c.repository == self._repository, far.c.id == at.c.jump))
            .where(down.c.depth > down.c.target)
        )
        down = down.union_all(step)
        found = select(down.c.first, VERSIONS.c.first.label("there")).select_from(
            down.join(VERSIONS, and_(mine, VERSIONS.c.id == down.c.id))
        )
        return found.where(down.c.depth == down.c.target)


def _missing(revision: bytes) -> Damaged:
    return Damaged(
        f"version {revision.hex()[:12]} is pointed at, but it or one before it is missing from the history",
        hint="run lepton verify, then restore from a backup",
    )
