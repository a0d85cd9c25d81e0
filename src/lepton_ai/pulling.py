"""Pull: what a repository offers to take over from other places of itself, and to bring both together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Literal, Unpack

from msgspec.structs import replace

from lepton_ai.errors import Diverged, LeptonError, NotFound, Unsupported, UsageError
from lepton_ai.history import graph, states
from lepton_ai.history.changes.attempt import Result, attempt
from lepton_ai.history.home import Home
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.later import Later
from lepton_ai.opened import Where
from lepton_ai.together import Together

if TYPE_CHECKING:
    from lepton_ai.client import remotes
    from lepton_ai.client.remotes import Remote
    from lepton_ai.client.sync import ends, pull, rehearsing
    from lepton_ai.client.sync.updates import Taken
    from lepton_ai.history.any_home import AnyHome
    from lepton_ai.history.merging.asked import Asked
    from lepton_ai.history.merging.report import Preview
else:
    remotes = Later("lepton_ai.client.remotes")
    ends = Later("lepton_ai.client.sync.ends")
    pull = Later("lepton_ai.client.sync.pull")
    rehearsing = Later("lepton_ai.client.sync.rehearsing")

How = Literal["ff-only", "merge", "rebase"]
"""What to do with a branch that has versions of its own on both sides."""


class Pulling(Together):
    """What :class:`~lepton_ai.repository.ModelRepository` can take over from other places of the same repository."""

    def pull(
        self,
        remote: str | None = None,
        branch: Where = None,
        *,
        how: How = "ff-only",
        dry_run: bool = False,
        updates: Taken | None = None,
        **asked: Unpack[Asked],
    ) -> pull.Pulled:
        """Take over what a remote has: its versions, and its branches where ours have nothing of their own.

        A branch (default: the current one) that has versions of its own on both sides is refused, or: ``merge`` makes a
        version upon the remote's newest with both, ``rebase`` takes our versions over one by one. Our own versions
        stay, on a branch beside. ``asked``: as for a merge, where ours is what the branch is at the remote, and theirs
        what it is here. A version that was updated on both sides gets what either changed; where both changed the same
        metric, say, ``updates`` says whose stands ("mine" or "theirs"). With ``dry_run`` and ``merge`` the merge is
        foretold, with its conflicts.

        Raises:
            Diverged: both sides have versions of their own, or updated the same of a version; nothing of ours moved.
            NotFound: no such remote. UsageError: ``asked`` says something of a merge, and ``how`` is none.
        """
        if how not in ("ff-only", "merge", "rebase"):
            raise UsageError(f"{how!r} is no way to pull", hint="ff-only, merge or rebase")
        if updates not in (None, "mine", "theirs"):
            raise UsageError(f"{updates!r} is no side of an update", hint="mine or theirs")
        if how == "ff-only" and asked:
            raise UsageError(
                f"{min(asked)} is said, and nothing is to be merged", hint="merge or rebase, too"
            )
        found, name = remotes.find(self._here().history, remote), self._branch_name(branch)
        with self._other_end(found.url) as theirs:
            one = pull.Pull(
                self.home,
                theirs,
                found,
                self._act(),
                self.progress,
                only=found.state.only or None,
                blocks=not found.state.partial,
                taking=updates,
            )
            pulled = one.rehearse() if dry_run else one.run()
            if dry_run and how == "merge" and name in pulled.apart:
                return replace(pulled, preview=self._foretold(theirs, found, name, updates, asked))
        if branch is not None and name not in pulled.branches:
            self.lines.branch(name)  # neither here nor there: that says more than that nothing came
        if dry_run:
            return pulled
        if name not in pulled.apart:
            return pulled
        if how == "ff-only":
            raise Diverged(
                f"branch {name!r} has versions of its own here and in {found.name}",
                hint="lepton pull --merge makes one version of both; --rebase takes yours over upon theirs",
            )
        kept = self._bring_together(found, name, how, asked)
        rest = tuple(other for other in pulled.apart if other != name)
        did = "brings both together" if how == "merge" else "is the newest of yours upon theirs"
        note = f"{name}@{self._whole.version(name).name} {did}; what was yours is on branch {kept!r}"
        return replace(pulled, branches=(*pulled.branches, name), apart=rest, notes=(*pulled.notes, note))

    def _bring_together(self, remote: Remote, name: str, how: How, asked: Asked) -> str:
        """Let the branch stand where it stands there, and take in our versions from a branch beside; its name."""
        kept, before = self._put_beside(remote, name)
        try:
            if how == "merge":
                self._whole.merge_branch(kept, name, **asked)
            else:
                self._rebase(kept, name, asked)
        except LeptonError as problem:
            if f"merge/{name}" in self.home.history.get([f"merge/{name}"]):
                raise  # as was asked for: the merge waits for decisions
            self._put_back(kept, name, before)
            if isinstance(problem, Diverged):
                raise Diverged(
                    f"{problem.message}; your branch {name!r} stands where it stood", hint=problem.hint
                ) from problem
            raise
        return kept

    def _put_beside(self, remote: Remote, name: str) -> tuple[str, states.BranchState]:
        """Move the branch to where it stands at the remote; a new branch keeps where it stood."""

        def build() -> Result[tuple[str, states.BranchState]]:
            branch = self.lines.branch(name)
            key = remote.key(f"branch/{name}")
            seen = self.home.history.get([key]).get(key)
            if seen is None or branch.head is None:
                raise NotFound(f"{remote.name} has no branch {name!r}", hint="lepton pull")
            there = states.decode(states.BranchState, seen)
            kept, checks = self._free_name(f"{name}-mine")
            own = replace(branch.state, uid=secrets.token_hex(8), base=branch.state.head)
            state = replace(branch.state, head=there.head, high=max(there.high, branch.state.high))
            moves = (
                states.set_(branch.ref.key, branch.ref, state),
                Move(f"branch/{kept}", ABSENT, states.encode(own)),
                Move(f"line/{own.uid}", ABSENT, states.encode(states.LineState(kept)), logged=False),
            )
            act = self._act()
            checks |= {seen.key: seen.stamp}
            return Result(
                Commit(act.actor, "pull", at=act.at, moves=moves, checks=checks), (kept, branch.state)
            )

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

    def _put_back(self, kept: str, name: str, before: states.BranchState) -> None:
        """As it was: what came in between stays only as versions that have no branch."""

        def build() -> Result[None]:
            branch, beside = self.lines.branch(name), self.lines.branch(kept)
            line = self.home.history.get([f"line/{beside.state.uid}"])[f"line/{beside.state.uid}"]
            moves = (
                states.set_(
                    branch.ref.key, branch.ref, replace(branch.state, head=before.head, high=before.high)
                ),
                states.clear(beside.ref),
                replace(states.clear(line), logged=False),
            )
            act = self._act()
            return Result(Commit(act.actor, "take a pull back", at=act.at, moves=moves), None)

        attempt(self.home.history, build)

    def _rebase(self, kept: str, name: str, asked: Asked) -> None:
        """Take our own versions over, one by one, upon the remote's newest."""
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
        for row in reversed(own):
            self.cherry_pick(row.id.hex(), name, message=self.lines.version(row.id).record.message, **asked)

    def _foretold(
        self, theirs: AnyHome, remote: Remote, name: str, updates: Taken | None, asked: Asked
    ) -> Preview:
        """What a merge of both sides would do, tried in a passing copy."""
        act = self._act()
        with (
            rehearsing.copied(self._here(), remote, act) as folder,
            type(self._whole)(folder, create=False, author=act.actor, progress=self.progress) as twin,
        ):
            there = remotes.find(twin.home.history, remote.name)
            only = remote.state.only or None
            pull.Pull(twin.home, theirs, there, act, only=only, blocks=False, taking=updates).run()
            kept, _ = twin._put_beside(there, name)  # noqa: SLF001  (one of us)
            return twin.preview_merge(kept, name, **asked)

    @contextmanager
    def _other_end(self, url: str, make: Callable[[], AnyHome] | None = None) -> Iterator[AnyHome]:
        try:
            theirs = ends.open_end(url)
        except NotFound:
            if make is None:
                raise
            theirs = make()
        try:
            yield theirs
        finally:
            theirs.close()

    def _here(self) -> Home:
        """The repository as one in a folder: only that has remotes.

        Raises:
            Unsupported.
        """
        if not isinstance(self.home, Home):
            raise Unsupported(
                f"{self.home.named} is on a server, and has no remotes",
                hint="lepton clone makes a place of your own",
            )
        return self.home
