"""The one commit in which an end takes what came: rows, where files are, states, and the refs that move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from lepton_ai.client.sync.carry import carry, tidy
from lepton_ai.client.sync.ends import End
from lepton_ai.client.sync.gather import Gathered, gather
from lepton_ai.client.sync.updates import Join
from lepton_ai.errors import Diverged, LostRace
from lepton_ai.history import states
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.leases import Lease
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, VersionRow
from lepton_ai.history.writing import EPOCH
from lepton_ai.progress import Progress

TRIES = 5
"""How often is begun anew because garbage collection, or another writer, got in between."""


class Change(msgspec.Struct, frozen=True):
    """What else moves with the rows; ``checks`` must hold."""

    moves: tuple[Move, ...] = ()
    checks: Mapping[str, int] = {}


Build = Callable[[], tuple[list[VersionRow], Change | None]]
"""Reads both ends: the rows to take, and what is to move once they are there (None: there is nothing to do)."""


class Taken(msgspec.Struct, frozen=True):
    """What was taken: names of new versions, objects and bytes that travelled."""

    names: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0


def take(
    source: End, target: End, build: Build, act: Act, what: str, progress: Progress, *, blocks: bool = True,
    lease: Lease | None = None,
) -> Taken:  # fmt: skip
    """Bring what ``build`` says to ``target``, durably, then commit it there at once; nothing is seen before.

    The commit ends the ``lease`` at the target too.

    Raises:
        Diverged: from ``build``. Busy, LostRace: others kept changing the target. What either end raises.
    """
    moved = 0
    for left in reversed(range(TRIES)):
        rows, change = build()
        if change is None:
            tidy(source, target)
            return Taken()
        epoch = target.epoch() if target.far is None else 0
        found = gather(source, target, rows, blocks=blocks)
        moved += carry(source, target, set(found.ids), progress, found)
        commit = _commit(target, found, change, act, what, epoch)
        if lease is not None:
            commit = replace(commit, moves=(*commit.moves, *lease.release_move()))
        try:
            target.history.commit(commit)
        except LostRace:
            if not left:
                raise
            continue
        if lease is not None:
            lease.ended()
        return Taken(tuple(found.names), len(found.ids), moved)
    raise AssertionError("unreachable")


def _commit(target: End, found: Gathered, change: Change, act: Act, what: str, epoch: int) -> Commit:
    moving = {move.key for move in change.moves}
    moves = [move for move in _states(found) if move.key not in moving]
    checks = dict(change.checks)
    if found.contents and target.far is None:  # a server sees to it by itself
        checks[EPOCH] = epoch
    return Commit(
        act.actor, what, act.why, act.at, (*moves, *change.moves), checks, found.rows, found.contents
    )


def _states(found: Gathered) -> list[Move]:
    """New versions come with their states, without the tags of where they come from."""
    new = {row.first for row in found.rows if row.revision == 1}
    return [
        Move(f"version/{first.hex()}", ABSENT, states.encode(replace(state, pins=())))
        for first, state in found.states.items()
        if first in new
    ]


def revised(
    source: End, target: End, firsts: Iterable[bytes], join: Join | None = None
) -> tuple[list[VersionRow], list[Move]]:
    """Later revisions that ``source`` has of versions that both know, and the moves that make them the newest.

    ``join`` brings together what both ends have updated, each in its own way.

    Raises:
        Diverged: there is such a version, and no ``join``, or it cannot.
    """
    asked = list(firsts)
    ours, theirs = source.lines.states(asked), target.lines.states(asked)
    differing = [f for f in asked if f in ours and f in theirs and ours[f][1].newest != theirs[f][1].newest]
    rows: list[VersionRow] = []
    moves: list[Move] = []
    heads = [branch for branch in target.lines.branches() if branch.head] if differing else []
    for first in differing:
        own = {row.id: row for row in source.history.revisions([first])[first]}
        there = {row.id: row for row in target.history.revisions([first])[first]}
        if there.keys() >= own.keys():
            continue
        (ref, state), (_, newer) = theirs[first], ours[first]
        rows += [row for row in own.values() if row.id not in there]
        last = own[bytes.fromhex(newer.newest)]
        if bytes.fromhex(state.newest) not in own:
            joined = _joined(join, there, own, (bytes.fromhex(state.newest), last.id), target.home.named)
            if joined is not None:
                rows.append(joined)
                last = joined
        updated = max(newer.updated_at, last.created_at)
        fresh = replace(state, newest=last.id.hex(), revisions=last.revision, updated_at=updated)
        moves.append(states.set_(ref.key, ref, fresh))
        moves += [
            states.set_(branch.ref.key, branch.ref, replace(branch.state, head=last.id.hex()))
            for branch in heads
            if branch.head and target.lines.version(branch.head).row.first == first
        ]
    return rows, moves


def _joined(
    join: Join | None,
    mine: Mapping[bytes, VersionRow],
    theirs: Mapping[bytes, VersionRow],
    newest: tuple[bytes, bytes],
    where: str,
) -> VersionRow | None:
    if join is None:
        raise Diverged(
            f"version {mine[newest[0]].name!r} was updated here and in {where}",
            hint="lepton pull brings both updates together; then push again",
        )
    return join(mine, theirs, newest)
