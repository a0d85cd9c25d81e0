"""Tombstones: delete and restore versions, and mark what gc has freed."""

from __future__ import annotations

from msgspec.structs import replace

from lepton_ai.errors import AlreadyExists, InUse, NotFound, UsageError
from lepton_ai.history import names, states
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.lines import Branch, Found, Lines
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, VersionRow


def meant(lines: Lines, address: str, current: str) -> Found:
    """The version to delete: named by itself, since all its revisions go, and no branch goes with it.

    Raises:
        UsageError: the address means one revision, or a branch's newest.
        NotFound, Ambiguous, InvalidName: as for any address.
    """
    found, parts = lines.resolve(address, current, deleted=True), names.parse(address)
    if parts.revision is not None:
        raise UsageError(
            f"{address!r} is one revision; a version is deleted with all of them",
            hint=f"lepton delete {address.partition('~')[0]}",
        )
    branch = parts.name if parts.branch is None and parts.name != found.row.name else None
    if branch in {living.name for living in lines.branches()}:
        raise UsageError(
            f"{branch!r} is a branch, not a version",
            hint=f"lepton delete {branch}@{found.row.name}, or lepton branch --delete {branch}",
        )
    return found


def delete(lines: Lines, first: bytes, act: Act) -> Result[None]:
    """Put a tombstone on a version (all its revisions); branches that stand on it step back.

    Raises:
        InUse: a tag, alias or hold is on one of its revisions.
        NotFound: it is deleted already.
    """
    found = lines.version(first)
    name = found.row.name
    if not found.living:
        raise NotFound(f"version {name!r} is deleted already", hint=f"lepton restore {name} brings it back")
    if found.state.pins:
        what = ", ".join(pin.replace("/", " ", 1) for pin in found.state.pins)
        raise InUse(f"version {name!r} is in use: {what}", hint="remove or move that first")
    gone = states.Gone(act.at, act.actor, act.why)
    moves = [states.set_(found.key, found.ref, replace(found.state, deleted=gone))]
    held: dict[str, Move] = {}  # several branches may step back to the same one
    for branch in lines.branches():
        if branch.head is None or lines.version(branch.head).row.first != first:
            continue
        below = _living_below(lines, branch)
        back = below.newest.hex() if below else None
        moves.append(states.set_(branch.ref.key, branch.ref, replace(branch.state, head=back)))
        if below is not None:
            held[below.key] = states.hold(below.ref)
        off = f"off/{branch.state.uid}/{first.hex()}"
        if off not in lines.history.get([off]):
            moves.append(Move(off, ABSENT, states.encode(states.LineState(branch.name)), logged=False))
    return Result(Commit(act.actor, "delete", act.why, act.at, (*moves, *held.values())), None)


def restore(lines: Lines, found: Found, act: Act) -> Result[VersionRow]:
    """Take the tombstone off; branches stay where they are.

    Raises:
        AlreadyExists: it is not deleted, or its branch has another version of this name by now (from a merge).
        NotFound: gc has freed its bytes.
    """
    name = found.row.name
    if found.state.purged_at is not None:
        when = timestamp(found.state.purged_at)[:10]
        raise NotFound(f"the bytes of {name!r} were freed by gc on {when}", hint="only a backup still has it")
    if found.state.deleted is None:
        raise AlreadyExists(f"version {name!r} is not deleted")
    owner = next((b for b in lines.branches() if b.state.uid == found.row.branch), None)
    namesake = lines.on_branch(owner, name) if owner else None
    if (
        owner is not None
        and namesake is not None
        and namesake.row.first != found.row.first
        and namesake.living
    ):
        raise AlreadyExists(
            f"branch {owner.name!r} has another version {name!r} by now",
            hint="delete that one first, or use a backup",
        )
    move = states.set_(found.key, found.ref, replace(found.state, deleted=None))
    return Result(Commit(act.actor, "restore", act.why, act.at, (move,)), found.row)


def purge(lines: Lines, firsts: list[bytes], before: int, act: Act) -> Result[list[bytes]]:
    """Mark deleted versions as freed, those whose tombstone is older than ``before`` (microseconds since 1970)."""
    moves = []
    done = []
    for first, (ref, state) in lines.states(firsts).items():
        if state.deleted is None or state.purged_at is not None or state.deleted.at > before:
            continue
        moves.append(states.set_(ref.key, ref, replace(state, purged_at=act.at)))
        done.append(first)
    return Result(Commit(act.actor, "gc", act.why, act.at, tuple(moves)) if moves else None, done)


def _living_below(lines: Lines, branch: Branch) -> Found | None:
    """The nearest living first-parent ancestor of the head."""
    for row in lines.line(branch):
        if row.id == branch.head:
            continue
        ref, state = lines.states([row.first])[row.first]
        if state.deleted is None and state.purged_at is None:
            return Found(row, ref, state)
    return None
