"""What happened in a repository, numbered, for whoever follows it: written in the transaction that did it.

A number is taken while the repository's row is locked, and the lock is held until the transaction ends: so whoever has
read number n has read all before it, and no event appears behind a reader's back. There is no order between
repositories. Servers ask :func:`heads` now and then; PostgreSQL's NOTIFY is not used, since it takes one lock for the
whole database at every commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import committing
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.people import now
from lepton_ai.catalog.tables.journal import EVENTS
from lepton_ai.catalog.tables.repositories import REPOSITORIES
from lepton_ai.history import states
from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, Ref

KEPT = 30 * 24 * 3600 * 1_000_000
"""Microseconds for which events are kept."""
_BATCH = 500
_SWEEP = 1000
"""After so many events of a repository its old ones are ended."""
_COLUMNS = tuple(EVENTS.c[name] for name in ("number", "at", "kind", "actor", "act", "ref", "version"))


class Event(msgspec.Struct, frozen=True):
    """Something that happened. ``number`` grows by one within a repository; ``at`` in microseconds since 1970 (UTC).

    ``kind``: version-created, version-updated, version-deleted, version-restored, version-freed; branch-, tag-, alias-
    and merge- with created, moved or removed (a branch: also deleted). ``ref`` is the key that moved ("branch/main"),
    ``version`` the id of the revision that it means now, or "".
    """

    number: int
    at: int
    kind: str
    actor: str
    act: str
    ref: str
    version: str


def record(connection: Connection, repository: int, change: Commit) -> None:
    """Write the events of a commit, whose transaction holds the lock of the repository."""
    said = [(kind, move.key, version) for move in change.moves for kind, version in _kinds(change, move)]
    _write(connection, repository, rules.moment(change), change.actor, change.act, said)


def tell(catalog: Catalog, repository: int, kind: str, actor: str, *, ref: str = "") -> None:
    """Write an event that no commit makes.

    Raises:
        NotFound: the repository was removed.
    """

    def act(connection: Connection) -> None:
        committing.lock(connection, repository)
        _write(connection, repository, now(), actor, kind, [(kind, ref, "")])

    catalog.write(act)


def after(catalog: Catalog, repository: int, number: int = 0, *, limit: int = 100) -> list[Event]:
    """The events behind ``number``, in order. A gap before the first one: others were forgotten."""
    query = select(*_COLUMNS).where(EVENTS.c.repository == repository, EVENTS.c.number > number)
    with catalog.reading() as connection:
        return [Event(*row) for row in connection.execute(query.order_by(EVENTS.c.number).limit(limit))]


def heads(catalog: Catalog, repositories: Sequence[int]) -> dict[int, int]:
    """The number of each repository's newest event (0 for none), in one question."""
    newest = select(func.max(EVENTS.c.number)).where(EVENTS.c.repository == REPOSITORIES.c.number)
    query = select(REPOSITORIES.c.number, newest.correlate(REPOSITORIES).scalar_subquery())
    wanted = sorted(set(repositories))
    found: dict[int, int] = {}
    with catalog.reading() as connection:
        for start in range(0, len(wanted), _BATCH):
            some = REPOSITORIES.c.number.in_(wanted[start : start + _BATCH])
            found |= {row[0]: row[1] or 0 for row in connection.execute(query.where(some))}
    return found


def forget(catalog: Catalog, before: int, *, batch: int = 1000) -> int:
    """End events from before a time (microseconds since 1970), but the newest of each repository; how many went."""
    gone = 0
    while True:
        some = catalog.write(lambda connection: _forget(connection, before, batch))
        gone += some
        if some < batch:
            return gone


def _forget(connection: Connection, before: int, batch: int) -> int:
    later = EVENTS.alias("later")
    newest = (
        select(func.max(later.c.number)).where(later.c.repository == EVENTS.c.repository).scalar_subquery()
    )
    query = select(EVENTS.c.repository, EVENTS.c.number).where(EVENTS.c.at < before, EVENTS.c.number < newest)
    by_repository: dict[int, list[int]] = {}
    for repository, number in connection.execute(query.order_by(EVENTS.c.at).limit(batch)):
        by_repository.setdefault(repository, []).append(number)
    for repository, numbers in by_repository.items():
        mine = delete(EVENTS).where(EVENTS.c.repository == repository)
        connection.execute(mine.where(EVENTS.c.number.in_(numbers)))
    return sum(len(numbers) for numbers in by_repository.values())


def _write(
    connection: Connection, repository: int, at: int, actor: str, act: str, said: list[tuple[str, str, str]]
) -> None:
    if not said:
        return
    query = select(func.max(EVENTS.c.number)).where(EVENTS.c.repository == repository)
    last = connection.execute(query).scalar() or 0
    same = {"repository": repository, "at": at, "actor": actor, "act": act}
    rows = [
        {**same, "number": last + place, "kind": kind, "ref": ref, "version": version}
        for place, (kind, ref, version) in enumerate(said, 1)
    ]
    connection.execute(insert(EVENTS), rows)
    if (
        last // _SWEEP < (last + len(said)) // _SWEEP
    ):  # now and then; what was just written stays, and the count with it
        old = (EVENTS.c.repository == repository, EVENTS.c.number <= last, EVENTS.c.at < now() - KEPT)
        connection.execute(delete(EVENTS).where(*old))


def _kinds(change: Commit, move: Move) -> Iterator[tuple[str, str]]:
    """The event that a move is, if it is one for people, with the version that the key means now."""
    room = move.key.partition("/")[0]
    if room == "version":
        yield from _of_version(change, move)
    elif room in ("branch", "tag", "alias", "merge") and move.logged:
        deleted, version = _target(move, room)
        if move.value is None:
            yield f"{room}-removed", ""
        elif deleted:
            yield f"{room}-deleted", version
        else:
            yield f"{room}-{'created' if move.expected == ABSENT else 'moved'}", version


def _of_version(change: Commit, move: Move) -> Iterator[tuple[str, str]]:
    if move.value is None:
        return
    state = states.decode(states.VersionState, Ref(move.key, move.value, 1))
    if move.expected == ABSENT:
        yield "version-created", state.newest
    elif any(row.id.hex() == state.newest for row in change.versions):
        yield "version-updated", state.newest
    elif move.logged and state.purged_at is not None:
        yield "version-freed", state.newest
    elif move.logged:
        yield ("version-restored" if state.deleted is None else "version-deleted"), state.newest


def _target(move: Move, room: str) -> tuple[bool, str]:
    """Whether the value is a tombstone, and the version that it means."""
    if move.value is None:
        return False, ""
    ref = Ref(move.key, move.value, 1)
    if room == "branch":
        branch = states.decode(states.BranchState, ref)
        return branch.deleted is not None, branch.head or ""
    if room == "merge":
        return False, ""
    return False, states.decode(states.LabelState, ref).version
