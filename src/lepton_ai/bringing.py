"""Bringing what a branch has here together with what it has at another place."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from lepton_ai.errors import Diverged, InUse, LeptonError, NotFound, UsageError
from lepton_ai.history import graph, states
from lepton_ai.history.changes.attempt import Result, attempt
from lepton_ai.history.leases import is_alive, present
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, Ref
from lepton_ai.later import Later
from lepton_ai.together import Together

if TYPE_CHECKING:
    from lepton_ai.client.remotes import Remote
    from lepton_ai.history.merging import picking, report
    from lepton_ai.history.merging.asked import Asked
    from lepton_ai.history.merging.plan import Plan
    from lepton_ai.history.merging.report import Preview
    from lepton_ai.history.refs.contract import VersionRow
else:
    picking = Later("lepton_ai.history.merging.picking")
    report = Later("lepton_ai.history.merging.report")

How = Literal["ff-only", "merge", "rebase"]
"""What to do with a branch that has versions of its own on both sides."""


class Bringing(Together):
    """What a pull does with a branch that has versions of its own on both sides.

    The branch stands at theirs meanwhile, and ours on a branch beside. A mark (:class:`states.PullState`) says so: who
    finds that of a process that is gone puts everything back.
    """

    def _take_up(self, name: str) -> tuple[str, ...]:
        """Put back what a pull left that was killed in the middle; what to tell when people have gone on since.

        Raises:
            InUse: a pull is at it.
        """
        mark = self._mark(name)
        if mark is None:
            return ()
        _refuse_another(mark, name)
        kept = self._put_back(name)
        return () if kept is None else (f"an earlier pull broke off; what was yours is on branch {kept!r}",)

    def _mark(self, name: str) -> Ref | None:
        return self.home.history.get([_mark_key(name)]).get(_mark_key(name))

    def _unmark(self, name: str) -> None:
        def build() -> Result[None]:
            mark = self._mark(name)
            moves = () if mark is None else (replace(states.clear(mark), logged=False),)
            return Result(Commit(self._act().actor, "pull", moves=moves) if moves else None, None)

        attempt(self.home.history, build)

    def _bring_together(self, remote: Remote, name: str, how: How, asked: Asked) -> tuple[str, bool]:
        """Let the branch stand where it stands there, and take in our versions from a branch beside; its name, and
        whether that made a version.
        """
        kept = self._put_beside(remote, name)
        came = True
        try:
            if how == "merge":
                self._whole.merge_branch(kept, name, **asked)
            else:
                came = self._rebase(kept, name, asked)
        except BaseException as problem:  # Ctrl-C, too, leaves everything as it was
            if f"merge/{name}" in self.home.history.get([f"merge/{name}"]):
                self._unmark(name)
                raise  # as was asked for: the merge waits for decisions
            stays = self._put_back(name)
            if stays is not None and isinstance(problem, LeptonError):
                problem.message += f"; somebody went on with {name!r} meanwhile, yours is on branch {stays!r}"
            elif isinstance(problem, Diverged):
                problem.message += f"; your branch {name!r} stands where it stood"
            raise
        self._unmark(name)
        return kept, came

    def _put_beside(self, remote: Remote, name: str) -> str:
        """Move the branch to where it stands at the remote; a new branch keeps where it stood: its name."""

        def build() -> Result[str]:
            branch = self.lines.branch(name)
            key = remote.key(f"branch/{name}")
            seen = self.home.history.get([key]).get(key)
            if seen is None or branch.head is None:
                raise NotFound(f"{remote.name} has no branch {name!r}", hint="lepton pull")
            there = states.decode(states.BranchState, seen)
            kept, checks = self._free_name(f"{name}-mine")
            own = replace(branch.state, uid=secrets.token_hex(8), base=branch.state.head)
            state = replace(branch.state, head=there.head, high=max(there.high, branch.state.high))
            pulling = states.PullState(present("pull"), kept, state.head, branch.state)
            another = self._mark(name)
            if another is not None:  # it began while this one fetched
                _refuse_another(another, name)
            marked = states.set_(_mark_key(name), another, pulling)
            moves = (
                states.set_(branch.ref.key, branch.ref, state),
                replace(marked, logged=False),
                Move(f"branch/{kept}", ABSENT, states.encode(own)),
                Move(f"line/{own.uid}", ABSENT, states.encode(states.LineState(kept)), logged=False),
            )
            act = self._act()
            checks |= {seen.key: seen.stamp}
            return Result(Commit(act.actor, "pull", at=act.at, moves=moves, checks=checks), kept)

        return attempt(self.home.history, build)

    def _free_name(self, stem: str) -> tuple[str, dict[str, int]]:
        for number in count(1):
            name = stem if number == 1 else f"{stem}-{number}"
            if f"branch/{name}" in self.home.history.get([f"branch/{name}"]):
                continue
            try:
                return name, self.lines.free("branch", name)
            except UsageError:
                continue
        raise AssertionError("unreachable")

    def _put_back(self, name: str) -> str | None:
        """As it was: what the pull itself made stays only as versions that have no branch.

        Where somebody else has gone on since, on the branch or on the one beside, or a merge waits for decisions, both
        stay as they are; the name of the one beside.
        """
        key, waiting = _mark_key(name), f"merge/{name}"

        def build() -> Result[str | None]:
            there = self.home.history.get([key, waiting])
            if key not in there:
                return Result(None, None)
            state = states.decode(states.PullState, there[key])
            moves = [replace(states.clear(there[key]), logged=False)]
            living = {branch.name: branch for branch in self.lines.branches()}
            branch, beside = living.get(name), living.get(state.kept)
            stays = None if beside is None else state.kept
            heads = [one.state.head for one in (branch, beside) if one is not None]
            if branch and beside and heads == [state.there, state.before.head] and waiting not in there:
                stood = replace(branch.state, head=state.before.head, high=state.before.high)
                moves += [states.set_(branch.ref.key, branch.ref, stood), states.clear(beside.ref)]
                lines = self.home.history.get([f"line/{beside.state.uid}"])
                moves += [replace(states.clear(line), logged=False) for line in lines.values()]
                stays = None
            act, checks = self._act(), {waiting: there[waiting].stamp if waiting in there else ABSENT}
            commit = Commit(act.actor, "take a pull back", at=act.at, moves=tuple(moves), checks=checks)
            return Result(commit, stays)

        return attempt(self.home.history, build)

    def _follow(self, name: str, head: bytes) -> None:
        """Note how far a rebase is: what it made itself is nobody's new work."""

        def build() -> Result[None]:
            mark = self._mark(name)
            if mark is None:
                return Result(None, None)
            state = replace(states.decode(states.PullState, mark), there=head.hex())
            move = replace(states.set_(mark.key, mark, state), logged=False)
            return Result(Commit(self._act().actor, "pull", moves=(move,)), None)

        attempt(self.home.history, build)

    def _rebase(self, kept: str, name: str, asked: Asked) -> bool:
        """Take our own versions over, one by one, upon the remote's newest; whether that made any."""
        came = False
        for made in self._steps(kept, name, asked):
            report.refuse(made, name)
            came = came or made.same_as != 0
        return came

    def _foretold(self, kept: str, name: str, asked: Asked) -> tuple[Preview, ...]:
        """What a rebase would do at each version, up to the first that it cannot take over."""
        told = []
        for made in self._steps(kept, name, asked):
            told.append(picking.foretold(made, name))
            if not told[-1].possible:
                break
        return tuple(told)

    def _steps(self, kept: str, name: str, asked: Asked) -> Iterator[Plan]:
        """Take our own versions over, each as soon as the next one is asked for. One whose change is there already is
        left out.
        """
        wanted, verbs = self.merging.request(self.merging.whole(asked)), self.merging.picking
        for row in self._own(kept, name):
            found = self.lines.version(row.id)
            made, head = verbs.plan("cherry-pick", found, name, wanted)
            yield made
            if made.same_as != 0:
                message = found.record.message
                saved = verbs.make("cherry-pick", found, name, made, head, self._act(message), message)
                self._follow(name, saved.row.id)

    def _own(self, kept: str, name: str) -> list[VersionRow]:
        """Our versions that the remote's branch lacks, oldest first.

        Raises:
            Diverged: both have nothing in common.
        """
        head, base = self.lines.branch(kept).head, self.lines.branch(name).head
        assert head is not None  # noqa: S101  (it had versions of its own)
        theirs = graph.ancestors(self.home.history, [base] if base else [])
        firsts = {row.first for row in self.home.history.versions(list(theirs)).values()}
        own = []
        for row in graph.first_parents(self.home.history, graph.row(self.home.history, head)):
            if row.first in firsts:
                break
            own.append(row)
        if not own or not own[-1].parents:
            raise Diverged(
                f"{name!r} and {kept!r} have no version in common, so nothing can be taken over",
                hint="lepton pull --merge",
            )
        return own[::-1]


def _mark_key(name: str) -> str:
    return f"pulling/{name}"


def _refuse_another(mark: Ref, name: str) -> None:
    """Raise InUse when the pull that left ``mark`` is at it still."""
    who = states.decode(states.PullState, mark).who
    if is_alive(who):
        raise InUse(f"process {who.pid} on {who.host} pulls {name!r} already", hint="wait until it has ended")
