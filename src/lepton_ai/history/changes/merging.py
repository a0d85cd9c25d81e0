"""A merge under way: begun, decided bit by bit by whoever knows, ended by a version or given up.

It is a ref that everybody sees. What it merges is pinned, so neither a deletion nor gc takes it away; while it lasts
its branch keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import Ambiguous, InUse, LostRace, NotFound
from lepton_ai.history import graph, states
from lepton_ai.history.changes import labels
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.changes.decisions import check_kinds, decided, meant, refuse_others, with_one
from lepton_ai.history.lines import Branch, Lines
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move, Ref

PREFIX = "merge/"


class UnderWay(msgspec.Struct, frozen=True):
    """A merge into ``branch`` as read: its ref (for compare-and-set) and state."""

    branch: str
    ref: Ref
    state: states.MergeState

    @property
    def open(self) -> tuple[states.Conflict, ...]:
        """The conflicts that no resolution fits."""
        return tuple(c for c in self.state.conflicts if decided(self.state, c.name) is None)

    @property
    def said(self) -> str:
        """In words: what into what, since when, by whom."""
        state = self.state
        return f"{state.source} into {self.branch}, begun by {state.started_by} on {timestamp(state.started_at)[:10]}"


class Bytes(msgspec.Struct, frozen=True):
    """What was stored for a resolution: rows, and the checks and moves that a save brings along."""

    contents: tuple[ContentRow, ...] = ()
    checks: Mapping[str, int] = {}
    releases: tuple[Move, ...] = ()


def all_under_way(lines: Lines) -> list[UnderWay]:
    """Every merge under way, by the name of its branch."""
    return [_read(ref) for ref in lines.history.scan(PREFIX)]


def under_way(lines: Lines, branch: str) -> UnderWay:
    """The merge under way into a branch.

    Raises:
        NotFound: there is none.
    """
    lines.branch(branch)  # that it is missing says more
    ref = lines.history.get([PREFIX + branch]).get(PREFIX + branch)
    if ref is None:
        others = ", ".join(ref.key.removeprefix(PREFIX) for ref in lines.history.scan(PREFIX))
        raise NotFound(
            f"no merge into {branch!r} is in progress{_made_last(lines, [lines.branch(branch)])}",
            hint=f"there is one into {others}: say --into" if others else "lepton merge SRC begins one",
        )
    return _read(ref)


def the_one_under_way(lines: Lines) -> UnderWay:
    """The merge under way, when there is just one.

    Raises:
        NotFound: there is none. Ambiguous: there are several.
    """
    found = all_under_way(lines)
    if not found:
        made = _made_last(lines, lines.branches())
        raise NotFound(f"no merge is in progress{made}", hint="lepton merge SRC begins one")
    if len(found) > 1:
        into = [merge.branch for merge in found]
        raise Ambiguous(f"merges into {', '.join(into)} are in progress", hint=f"say which: --into {into[0]}")
    return found[0]


def gone(lines: Lines, merge: UnderWay) -> NotFound | None:
    """What to say of a merge that somebody else ended meanwhile; None: it goes on."""
    if lines.history.get([merge.ref.key]):
        return None
    what = f"the merge of {merge.state.source} into {merge.branch}"
    others = set(map(bytes.fromhex, merge.state.theirs))
    for row in lines.line(lines.branch(merge.branch)):
        if row.id.hex() == merge.state.ours:
            break
        if others <= set(row.parents):
            found = lines.version(row.id).record
            made = f"{found.branch}@{found.name}"
            return NotFound(
                f"{found.author} finished {what} meanwhile: it made {made}", hint=f"lepton show {made}"
            )
    return NotFound(f"somebody gave up {what} meanwhile", hint=f"lepton log {merge.ref.key} says who")


def _made_last(lines: Lines, branches: Iterable[Branch]) -> str:
    """Whoever repeats a --continue that somebody else was faster with is to know what came of it."""
    newest = [lines.version(branch.head).record for branch in branches if branch.head is not None]
    merges = [record for record in newest if record.operation.kind == "merge"]
    last = max(merges, key=lambda record: record.created_at, default=None)
    return f"; the last one made {last.branch}@{last.name}, by {last.author}" if last else ""


def none_under_way(lines: Lines, branch: str) -> dict[str, int]:
    """Checks for a commit that must not come while a merge into ``branch`` waits.

    Raises:
        InUse: one does.
    """
    key = PREFIX + branch
    ref = lines.history.get([key]).get(key)
    if ref is not None:
        raise InUse(
            f"a merge is in progress: {_read(ref).said}",
            hint="lepton conflicts shows what is left; lepton merge --continue or --abort ends it",
        )
    return {key: ABSENT}


def begin(lines: Lines, branch_name: str, state: states.MergeState, act: Act) -> Result[states.MergeState]:
    """Leave a merge for people to decide. ``state`` lacks the branch's identity, time and person.

    Raises:
        InUse: one into this branch is under way already.
        LostRace: the branch does not stand on ``ours`` any more.
    """
    branch = lines.branch(branch_name)
    free = none_under_way(lines, branch_name)
    if branch.state.head != state.ours:
        raise LostRace(f"branch {branch_name!r} moved on while it was being merged", hint="repeat the merge")
    state = replace(state, uid=branch.state.uid, started_at=act.at, started_by=act.actor)
    key = PREFIX + branch_name
    moves = (Move(key, free[key], states.encode(state)), *_pins(lines, key, state, on=True))
    checks = {branch.ref.key: branch.ref.stamp}
    return Result(Commit(act.actor, "begin merge", act.why, act.at, moves, checks), state)


def resolve(
    lines: Lines,
    branch: str,
    resolution: states.Resolution,
    act: Act,
    *,
    stored: Bytes = Bytes(),  # noqa: B008  (frozen)
    again: bool = False,
    force: bool = False,
) -> Result[tuple[str, ...]]:
    """Decide conflicts; the names of those that ``resolution`` decides. It lacks time, person and reason.

    A glob leaves what is decided as it is, unless ``again``. Who comes second is told what somebody else decided, and
    has to say ``force``.

    Raises:
        NotFound: no merge is under way, or it has no such conflict.
        Diverged: somebody else decided one of them already, or a glob fits nothing that is open.
        UsageError: what is decided cannot be for such a conflict.
    """
    merge = under_way(lines, branch)
    wanted = meant(merge.state, resolution.target, again=again)
    check_kinds(resolution, wanted)
    if not force:
        refuse_others(merge.state, wanted, act)
    signed = replace(resolution, by=act.actor, at=act.at, why=act.why)
    state = with_one(merge.state, signed, again=again)
    moves = (states.set_(merge.ref.key, merge.ref, state), *stored.releases)
    commit = Commit(
        act.actor, f"resolve {resolution.target}", act.why, act.at, moves, stored.checks, (), stored.contents
    )
    return Result(commit, tuple(conflict.name for conflict in wanted))


def move_on(lines: Lines, under: UnderWay, state: states.MergeState, act: Act) -> Result[None]:
    """Set a merge upon what its branch stands on by now.

    Raises:
        LostRace: somebody decided something, or saved on the branch, meanwhile. NotFound: it has ended.
    """
    branch = lines.branch(under.branch)
    if branch.state.head != state.ours:
        raise LostRace(f"branch {under.branch!r} moved on once more", hint="repeat it")
    if under_way(lines, under.branch).ref.stamp != under.ref.stamp:
        raise LostRace("somebody decided something while the merge moved on", hint="repeat it")
    key = under.ref.key
    pins = {move.key: move for move in _pins(lines, key, under.state, on=False)}
    pins |= {move.key: move for move in _pins(lines, key, state, on=True)}
    checks = {branch.ref.key: branch.ref.stamp}
    moves = (states.set_(key, under.ref, state), *pins.values())
    return Result(Commit(act.actor, "move merge on", act.why, act.at, moves, checks), None)


def abort(lines: Lines, branch: str, act: Act) -> Result[UnderWay]:
    """Give a merge up; its branch was never touched.

    Raises:
        NotFound: none is under way.
    """
    merge = under_way(lines, branch)
    moves = ending(lines, merge)
    return Result(Commit(act.actor, "abort merge", act.why, act.at, moves), merge)


def ended(lines: Lines, merge: UnderWay, commit: Commit) -> Commit:
    """The commit that makes the merged version, and ends the merge with it."""
    moves = ending(lines, merge)
    own = {move.key for move in moves}
    return msgspec.structs.replace(commit, moves=(*(m for m in commit.moves if m.key not in own), *moves))


def ending(lines: Lines, merge: UnderWay) -> tuple[Move, ...]:
    """The moves that end a merge: the ref goes, and the pins."""
    return (states.clear(merge.ref), *_pins(lines, merge.ref.key, merge.state, on=False))


def models(lines: Lines, state: states.MergeState) -> list[bytes]:
    """Ids of the versions that are merged, ours first: what the branch stands on, unless theirs come from that."""
    return graph.apart(lines.history, map(bytes.fromhex, (state.ours, *state.theirs)))


def merged_ids(lines: Lines) -> Iterable[bytes]:
    """Ids of the revisions that merges under way need."""
    for merge in all_under_way(lines):
        yield from map(bytes.fromhex, _ids(merge.state))


def digests(lines: Lines) -> set[bytes]:
    """SHA-256 of everything that resolutions brought along."""
    return {
        bytes.fromhex(one.given.sha256)
        for merge in all_under_way(lines)
        for one in merge.state.resolutions
        if one.given is not None
    }


def _read(ref: Ref) -> UnderWay:
    return UnderWay(ref.key.removeprefix(PREFIX), ref, states.decode(states.MergeState, ref))


def _ids(state: states.MergeState) -> tuple[str, ...]:
    """What takes part, aids (Fisher tensors, say) too."""
    aids = [id_ for ids in state.request.get("aids", {}).values() for id_ in ids]
    return (state.ours, *state.theirs, *state.bases, *aids)


def _pins(lines: Lines, key: str, state: states.MergeState, *, on: bool) -> Iterable[Move]:
    """A move for every version that takes part, each once."""
    found = {version.key: version for version in (lines.version(bytes.fromhex(id_)) for id_ in _ids(state))}
    return [labels.pin(version, key, on=on) for version in found.values()]
