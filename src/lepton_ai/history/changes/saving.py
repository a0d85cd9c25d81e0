"""New versions and new revisions of one: save, update, rollback, merge, import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import AlreadyExists, Diverged, InUse, LostRace
from lepton_ai.history import graph, names, states
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.changes.merging import none_under_way
from lepton_ai.history.lines import Branch, Found, Lines
from lepton_ai.history.record import canonical, timestamp, version_id
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move, VersionRow
from lepton_ai.types import Operation, Record

ANY = object()
Way = Literal["nothing", "fast-forward", "take", "apart"]


class Draft(msgspec.Struct, frozen=True):
    """What a version will carry. ``record`` lacks name, branch, time and parents: they depend on where it lands.

    ``checks`` and ``releases`` come from the save that stored the bytes: the gc epoch it relied on, and its lease.
    ``made_at`` (microseconds since 1970) is when a version was made that comes from elsewhere.
    """

    record: Record
    contents: tuple[ContentRow, ...] = ()
    checks: Mapping[str, int] = msgspec.field(default_factory=dict)
    releases: tuple[Move, ...] = ()
    made_at: int | None = None


def new_version(
    lines: Lines,
    branch_name: str,
    draft: Draft,
    act: Act,
    *,
    name: str | None = None,
    expected: object = ANY,
    line: str | None = None,
    others: tuple[Found, ...] = (),
) -> Result[VersionRow]:
    """The next version of a branch, called ``name`` or by the next number.

    ``expected`` is the head that the caller built upon (None: an empty branch); ANY takes whatever is there.
    ``line`` is the lasting identity of the branch that is meant, where a later one of its name is not. ``others`` are
    further parents.

    Raises:
        LostRace: the head is not ``expected``, or the branch another one.
        AlreadyExists: the branch has a version of this name.
    """
    branch = lines.branch(branch_name)
    if line is not None and branch.state.uid != line:
        raise LostRace(
            f"the branch that was called {branch_name!r} when this version was begun is gone; this is another one",
            hint="look at what is there, then repeat",
        )
    if expected is not ANY and branch.head != expected:
        raise LostRace(
            f"branch {branch_name!r} moved on while the version was being made",
            hint="look at what was saved there, then repeat",
        )
    name = _free_name(lines, branch, name)
    parent = lines.version(branch.head) if branch.head else None
    parents = tuple(found.row.id for found in (parent, *others) if found is not None)
    depth, jump = graph.place_after(lines.history, parent.row if parent else None)
    made_at = act.at if draft.made_at is None else draft.made_at
    record = replace(
        draft.record,
        name=name,
        branch=branch_name,
        created_at=timestamp(made_at),
        author=draft.record.author or act.actor,
        parents=tuple(p.hex() for p in parents),
    )
    new = version_id(record)
    row = VersionRow(new, new, 1, name, branch.state.uid, parents, jump, depth, made_at, canonical(record))
    high = max(branch.state.high, names.automatic_number(name))
    state = states.VersionState(newest=new.hex(), updated_at=made_at, high=high)
    moves = (
        states.set_(branch.ref.key, branch.ref, replace(branch.state, head=new.hex(), high=high)),
        Move(f"version/{new.hex()}", ABSENT, states.encode(state)),
        *(states.hold(found.ref) for found in others),
        *draft.releases,
    )
    checks = {**draft.checks, **({parent.key: parent.ref.stamp} if parent else {})}
    commit = Commit(act.actor, record.operation.kind, act.why, act.at, moves, checks, (row,), draft.contents)
    return Result(commit, row)


def new_revision(
    lines: Lines, first: bytes, draft: Draft, act: Act, *, expected: bytes | None = None
) -> Result[VersionRow]:
    """A new revision of a version; branches that stand on the version move to it.

    Raises:
        LostRace: its newest revision is not ``expected`` any more.
        InUse: the version was deleted.
    """
    found = lines.version(first)
    newest = lines.version(found.newest)
    if expected is not None and newest.row.id != expected:
        raise LostRace(
            f"version {newest.row.name!r} was updated while this update was being made",
            hint=f"look at {newest.row.name}~{newest.row.revision}, then repeat",
        )
    if not found.living:
        raise InUse(f"version {newest.row.name!r} is deleted", hint=f"lepton restore {newest.row.name} first")
    record = replace(
        draft.record,
        name=newest.row.name,
        branch=newest.record.branch,
        created_at=timestamp(act.at),
        author=draft.record.author or act.actor,
        parents=tuple(p.hex() for p in newest.row.parents),
        revises=newest.row.id.hex(),
    )
    new = version_id(record)
    old = newest.row
    row = VersionRow(
        new,
        first,
        old.revision + 1,
        old.name,
        old.branch,
        old.parents,
        old.jump,
        old.depth,
        act.at,
        canonical(record),
    )
    state = replace(found.state, newest=new.hex(), revisions=row.revision, updated_at=act.at)
    moves = [states.set_(found.key, found.ref, state), *draft.releases]
    moves += [
        states.set_(branch.ref.key, branch.ref, replace(branch.state, head=new.hex()))
        for branch in lines.branches()
        if branch.head and lines.version(branch.head).row.first == first
    ]
    commit = Commit(
        act.actor, record.operation.kind, act.why, act.at, tuple(moves), draft.checks, (row,), draft.contents
    )
    return Result(commit, row)


def merge(
    lines: Lines, source_name: str, into: str, act: Act, *, message: str = "", fast_forward: bool = True
) -> Result[VersionRow | None]:
    """Bring the versions that ``source_name`` has into ``into``; None when there are no new ones.

    A version that was updated since is the same version: both branches have all its revisions.

    Fast-forward when the target is where the source came from (or empty); a merge version with the source's
    content when the line of names would suffer, or not ``fast_forward``; anything else needs a merge of weights.

    Raises:
        Diverged: both went different ways since they parted.
        NotFound: there is no such branch.
        InUse: a merge into ``into`` is in progress.
    """
    source, target = lines.branch(source_name), lines.branch(into)
    none_under_way(lines, into)
    found = way(lines, source, target, fast_forward=fast_forward)
    if found == "nothing" or source.head is None:
        return Result(None, None)
    if found == "apart":
        raise Diverged(
            f"{source_name!r} and {into!r} both have versions that the other lacks",
            hint=f"merge their weights: lepton merge {source_name} --into {into}",
        )
    head = lines.version(source.head)
    if found == "fast-forward":
        return Result(_fast_forward(target, source, head, act), head.row)
    return _widen(take(lines, head, source_name, into, target.head, act, message=message))


def way(lines: Lines, source: Branch, target: Branch, *, fast_forward: bool = True) -> Way:
    """What bringing a branch into another takes; "apart": both went different ways since they parted."""
    if source.head is None:
        return "nothing"
    if target.head is None:
        return "fast-forward"
    if graph.has_version(lines.history, target.head, source.head):
        return "nothing"
    if not graph.has_version(lines.history, source.head, target.head):
        return "apart"
    head, old = (graph.row(lines.history, id_) for id_ in (source.head, target.head))
    on_line = graph.ancestor_at(lines.history, head, old.depth)
    forward = (
        fast_forward
        and on_line is not None
        and on_line.first == old.first
        and not _names_clash(lines, target, head, old.depth)
    )
    return "fast-forward" if forward else "take"


def take(
    lines: Lines, head: Found, called: str, into: str, old: bytes | None, act: Act, *, message: str = ""
) -> Result[VersionRow]:
    """A version of ``into`` with all that ``head`` (``called`` so) has, which comes from ``old``, the head of ``into``.

    Raises:
        LostRace: the branch has moved on.
    """
    what = f"{called} into {into}"
    taken = replace(
        head.record,
        operation=Operation("merge", head.row.id.hex(), what),
        revises=None,
        author="",
        message=message or f"Merge {what}",
    )
    return new_version(lines, into, Draft(taken), act, expected=old, others=(head,))


def _widen(result: Result[VersionRow]) -> Result[VersionRow | None]:
    return Result(result.commit, result.value)


def _fast_forward(target: Branch, source: Branch, head: Found, act: Act) -> Commit:
    state = replace(target.state, head=head.row.id.hex(), high=max(target.state.high, source.state.high))
    checks = {source.ref.key: source.ref.stamp}
    moves = (states.set_(target.ref.key, target.ref, state), states.hold(head.ref))
    return Commit(act.actor, f"merge {source.name} (fast-forward)", act.why, act.at, moves, checks)


def _names_clash(lines: Lines, target: Branch, head: VersionRow, down_to: int) -> bool:
    """Whether a version that would come in is called like one that the target stepped back behind."""
    own = {row.name for row in lines.history.versions(lines.stepped_back(target)).values()}
    if not own:
        return False
    return any(row.name in own for row in graph.first_parents(lines.history, head) if row.depth > down_to)


def _free_name(lines: Lines, branch: Branch, name: str | None) -> str:
    if name is None:
        number = branch.state.high + 1
        # Only a name beyond what is counted (from before such were refused) can be in use.
        while not names.automatic_number(f"v{number}") and lines.on_branch(branch, f"v{number}") is not None:
            number += 1
        return f"v{number}"
    names.check_version_name(name)
    if lines.on_branch(branch, name) is not None:
        raise AlreadyExists(
            f"branch {branch.name!r} has a version {name!r} already (names are not used twice)",
            hint="choose another name, or update that version",
        )
    return name
