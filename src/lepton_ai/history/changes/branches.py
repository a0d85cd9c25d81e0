"""Create, rename, delete and restore branches."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from lepton_ai.errors import AlreadyExists, InUse, NotFound
from lepton_ai.history import graph, names, states
from lepton_ai.history.changes import merging
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.lines import MAIN, Branch, Found, Lines
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, Ref


def create(
    lines: Lines, name: str, act: Act, *, base: Found | None = None, exist_ok: bool = False
) -> Result[str]:
    """A branch that starts from ``base`` (None: from nothing).

    Raises:
        AlreadyExists: there is a living branch of this name and not ``exist_ok``, or a tag or alias.
        InvalidName: a branch cannot be called so.
    """
    names.check_ref_name(name, "branch")
    key = f"branch/{name}"
    ref = lines.history.get([key]).get(key)
    if ref is not None and states.decode(states.BranchState, ref).deleted is None:
        if exist_ok:
            return Result(None, name)
        raise AlreadyExists(
            f"there is a branch {name!r} already", hint="choose another name, or use it as it is"
        )
    free = lines.free("branch", name)
    state = states.BranchState(
        uid=secrets.token_hex(8),
        head=base.row.id.hex() if base else None,
        high=base.state.high if base else 0,
        created_at=act.at,
        created_by=act.actor,
        base=base.row.id.hex() if base else None,
    )
    moves = [
        states.set_(key, ref, state),
        Move(f"line/{state.uid}", ABSENT, states.encode(states.LineState(name)), logged=False),
    ]
    moves += [states.hold(base.ref)] if base else []
    moves += [_put_aside(name, ref)] if ref else []
    return Result(Commit(act.actor, "create branch", act.why, act.at, tuple(moves), free), name)


def rename(lines: Lines, old: str, new: str, act: Act) -> Result[str]:
    """Call a branch otherwise; its versions, their names and its log's older lines stay what they are.

    Raises:
        NotFound, AlreadyExists, InvalidName.
        InUse: main keeps its name, and so does a branch into which a merge is in progress.
    """
    names.check_ref_name(new, "branch")
    if old == MAIN:
        raise InUse("main cannot be renamed", hint="create another branch from it")
    branch = lines.branch(old)
    key = f"branch/{new}"
    ref = lines.history.get([key]).get(key)
    if ref is not None and states.decode(states.BranchState, ref).deleted is None:
        raise AlreadyExists(f"there is a branch {new!r} already", hint="choose another name")
    free = lines.free("branch", new) | merging.none_under_way(lines, old)
    line = lines.history.get([f"line/{branch.state.uid}"]).get(f"line/{branch.state.uid}")
    moves = [
        states.clear(branch.ref),
        states.set_(key, ref, branch.state),
        Move(
            f"line/{branch.state.uid}",
            line.stamp if line else ABSENT,
            states.encode(states.LineState(new)),
            logged=False,
        ),
    ]
    moves += [_put_aside(new, ref)] if ref else []
    change = Commit(act.actor, f"rename branch {old} to {new}", act.why, act.at, tuple(moves), free)
    return Result(change, new)


def delete(lines: Lines, name: str, act: Act) -> Result[list[str]]:
    """Delete a branch; versions that only it reached get a tombstone, merged ones stay. Returns those names.

    Raises:
        NotFound: there is no such branch.
        InUse: it is main, or a merge into it is in progress.
    """
    if name == MAIN:
        raise InUse("main cannot be deleted", hint="delete its versions, or start another repository")
    branch = lines.branch(name)
    waits = merging.none_under_way(lines, name)
    gone = states.Gone(act.at, act.actor, act.why, branch=name)
    moves = [states.set_(branch.ref.key, branch.ref, replace(branch.state, deleted=gone))]
    own = _only_here(lines, branch)
    for ref, state in own:
        moves.append(states.set_(ref.key, ref, replace(state, deleted=gone)))
    # A branch, tag or merge that comes to need one of these meanwhile writes its state: then this is computed anew.
    names_gone = [lines.version(bytes.fromhex(state.newest)).row.name for _, state in own]
    return Result(Commit(act.actor, "delete branch", act.why, act.at, tuple(moves), waits), names_gone)


def restore(lines: Lines, name: str, act: Act) -> Result[str]:
    """Bring a deleted branch back with the versions of its line that went together with a branch.

    Of several deleted ones of this name it is the one deleted last. When its newest version was deleted by itself, the
    branch stands on the nearest living one before it.

    Raises:
        NotFound: no branch of this name was deleted, or gc has freed its newest version.
        AlreadyExists: a branch of this name is alive, or a tag or alias has it.
    """
    key = f"branch/{name}"
    ref = lines.history.get([key]).get(key)
    branch = _deleted(lines, name, ref)
    free = lines.free("branch", name)
    head = lines.version(branch.head) if branch.head else None
    if head is not None and head.state.purged_at is not None:
        raise NotFound(
            f"the newest version of branch {name!r} ({head.row.name}) was freed by gc",
            hint="only a backup still has it",
        )
    moves, dead = _revived(lines, branch)
    back = next((row for row in lines.line(branch) if row.first not in dead), None)
    newest = None if back is None else lines.version(back.id).newest.hex()
    if back is not None and not any(move.key == f"version/{back.first.hex()}" for move in moves):
        moves.append(states.hold(lines.version(back.id).ref))
    moves.append(states.set_(key, ref, replace(branch.state, head=newest, deleted=None)))
    moves += [states.clear(branch.ref)] if branch.ref.key != key else []
    return Result(Commit(act.actor, "restore branch", act.why, act.at, tuple(moves), free), name)


def _deleted(lines: Lines, name: str, ref: Ref | None) -> Branch:
    """The deleted branch that ``name`` means; ``ref`` is what bears the name now."""
    if ref is not None:
        state = states.decode(states.BranchState, ref)
        if state.deleted is not None:
            return Branch(name, ref, state)
        if lines.history.scan(f"gone/{name}/", limit=1):
            raise AlreadyExists(
                f"another branch is called {name!r} now",
                hint=f"lepton branch --rename {name} NEW makes room",
            )
        raise AlreadyExists(f"branch {name!r} is not deleted")
    aside = [
        Branch(name, r, states.decode(states.BranchState, r)) for r in lines.history.scan(f"gone/{name}/")
    ]
    if not aside:
        raise NotFound(f"no branch {name!r} was deleted", hint="lepton branch --deleted lists them")
    return max(aside, key=lambda branch: branch.state.deleted.at if branch.state.deleted else 0)


def _put_aside(name: str, ref: Ref) -> Move:
    """Keep a deleted branch whose name is taken by another, for :func:`restore`."""
    state = states.decode(states.BranchState, ref)
    return Move(f"gone/{name}/{state.uid}", ABSENT, ref.value, logged=False)


def _revived(lines: Lines, branch: Branch) -> tuple[list[Move], set[bytes]]:
    """Moves that take tombstones off, and versions (first revisions' ids) that stay dead."""
    reached = graph.ancestors(lines.history, [branch.head] if branch.head else [])
    firsts = {row.first for row in lines.history.versions(list(reached)).values()} | set(
        lines.stepped_back(branch)
    )
    moves, dead = [], set()
    for first, (ref, state) in lines.states(sorted(firsts)).items():
        if state.deleted is None and state.purged_at is None:
            continue
        if state.purged_at is None and state.deleted is not None and state.deleted.branch is not None:
            moves.append(states.set_(ref.key, ref, replace(state, deleted=None)))
        else:
            dead.add(first)
    return moves, dead


def _only_here(lines: Lines, branch: Branch) -> list[tuple[Ref, states.VersionState]]:
    """Living versions that nothing but this branch reaches."""
    living = [other for other in lines.branches() if other.name != branch.name]
    others = [other.head for other in living if other.head]
    aside = [first for other in living for first in lines.stepped_back(other)]
    others += [first for first, (_, state) in lines.states(aside).items() if state.deleted is None]
    labels = [*lines.history.scan("tag/"), *lines.history.scan("alias/")]
    pinned = [bytes.fromhex(states.decode(states.LabelState, ref).version) for ref in labels]
    kept = graph.ancestors(lines.history, [*others, *pinned, *merging.merged_ids(lines)])
    reached = graph.ancestors(lines.history, [branch.head] if branch.head else [], known=kept)
    # Every revision counts: a line that was built on v2~1 keeps v2.
    kept_firsts = {row.first for row in lines.history.versions(list(kept)).values()}
    firsts = {row.first for row in lines.history.versions(list(reached)).values()} | set(
        lines.stepped_back(branch)
    )
    found = lines.states(sorted(firsts - kept_firsts))
    return [(ref, state) for ref, state in found.values() if state.deleted is None and not state.pins]
