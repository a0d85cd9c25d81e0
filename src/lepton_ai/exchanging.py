"""Push, pull and remotes: what a repository offers towards other places of itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Unpack

from msgspec.structs import replace

from lepton_ai.errors import Diverged, LeptonError, NotFound, Unsupported, UsageError
from lepton_ai.history import given, graph, states
from lepton_ai.history import home as homes
from lepton_ai.history.changes.attempt import Act, Result, attempt, now
from lepton_ai.history.home import Home
from lepton_ai.history.leases import user_name
from lepton_ai.history.record import text
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.later import Later
from lepton_ai.opened import Where
from lepton_ai.progress import SILENT, Progress
from lepton_ai.together import Together

if TYPE_CHECKING:
    from lepton_ai.client import remotes
    from lepton_ai.client.remotes import Remote
    from lepton_ai.client.sync import cloning, ends, making, pull, push
    from lepton_ai.history.any_home import AnyHome
    from lepton_ai.history.merging.asked import Asked
else:
    remotes = Later("lepton_ai.client.remotes")
    cloning = Later("lepton_ai.client.sync.cloning")
    ends = Later("lepton_ai.client.sync.ends")
    making = Later("lepton_ai.client.sync.making")
    pull = Later("lepton_ai.client.sync.pull")
    push = Later("lepton_ai.client.sync.push")

How = Literal["ff-only", "merge", "rebase"]
"""What to do with a branch that has versions of its own on both sides."""


class Exchanging(Together):
    """What :class:`~lepton_ai.repository.ModelRepository` can do with other places of the same repository."""

    @classmethod
    def clone(
        cls,
        url: str | Path,
        folder: str | Path | None = None,
        *,
        branch: str | None = None,
        depth: int | None = None,
        content: bool = True,
        author: str | None = None,
        progress: Progress = SILENT,
    ) -> Self:
        """Make a place of one's own of the repository at ``url`` (an address or a folder), in ``folder``.

        ``branch``: only that one. Without ``content`` the files' bytes stay there, and are fetched when needed; with
        ``depth`` all but those of the newest versions of each branch. A clone that was cut off goes on when repeated.

        Raises:
            AlreadyExists: ``folder`` is not empty. KeyMissing: the repository cannot be opened here; nothing is made.
        """
        most = given.count(depth, "depth")
        with closing(ends.open_end(remotes.located(url))) as theirs:
            place = homes.located(cloning.folder_for(theirs.named) if folder is None else folder)
            act = Act(user_name(), now())
            partial = most is not None or not given.switch(content, "content")
            remote = cloning.begin(theirs, place, act, partial=partial, only=branch or "")
            whole = cls(place, create=False, author=author, progress=progress)
            try:
                one = pull.Pull(whole.home, theirs, remote, act, progress, only=branch, blocks=not partial)
                one.run()
                cloning.bring_newest(whole.home, theirs, most or 0, progress)
                if branch is not None:
                    whole.home.current = branch
            except BaseException:
                whole.close()
                raise
        return whole

    def add_remote(self, name: str, url: str | Path) -> Remote:
        """Call another place of this repository ``name``: ``https://host/owner/name``, or a folder."""
        return remotes.add(self._here().history, text(name, "the remote's name"), url, self._act())

    def remotes(self) -> list[Remote]:
        """All of them, by name."""
        return remotes.every(self.home.history)

    def remove_remote(self, name: str) -> None:
        """Forget a remote; the place itself stays as it is."""
        remotes.remove(self._here().history, name, self._act())

    def push(
        self,
        remote: str | None = None,
        branches: Sequence[Where] = (),
        *,
        dry_run: bool = False,
        keep_key: bool = False,
    ) -> push.Pushed:
        """Bring what a remote lacks there: branches (default: the current one), their versions, tags and aliases.

        Only what is missing travels, as it is stored. Where there is no repository yet one is made; a server gets the
        key to it, unless ``keep_key``.

        Raises:
            Diverged: a branch has versions there that this one lacks: pull first. NotFound: there is no such remote.
        """
        found = remotes.find(self._here().history, remote)
        names = [self._branch_name(branch) for branch in branches] or [self.home.current]
        for name in names:
            self.lines.branch(name)
        notes: list[str] = []

        def make() -> AnyHome:
            notes.extend(making.told(self.home, found.url, keep_key=keep_key))
            return self._imagine() if dry_run else self._make(found.url, keep_key)

        with self._other_end(found.url, make) as theirs:
            pushed = push.push(self.home, theirs, found, names, self._act(), self.progress, dry_run=dry_run)
        return replace(pushed, notes=(*notes, *pushed.notes))

    def pull(
        self,
        remote: str | None = None,
        branch: Where = None,
        *,
        how: How = "ff-only",
        dry_run: bool = False,
        **asked: Unpack[Asked],
    ) -> pull.Pulled:
        """Take over what a remote has: its versions, and its branches where ours have nothing of their own.

        A branch (default: the current one) that has versions of its own on both sides is refused, or: ``merge`` makes a
        version upon the remote's newest with both, ``rebase`` takes our versions over one by one. Our own versions
        stay, on a branch beside. ``asked``: as for a merge.

        Raises:
            Diverged: both sides have versions of their own; nothing of ours was moved. NotFound: no such remote.
        """
        if how not in ("ff-only", "merge", "rebase"):
            raise UsageError(f"{how!r} is no way to pull", hint="ff-only, merge or rebase")
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
            )
            if dry_run:
                return one.rehearse()
            pulled = one.run()
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

    def _make(self, url: str, keep_key: bool) -> AnyHome:
        making.make(self.home, url, self._act(), keep_key=keep_key)
        return ends.open_end(url)

    def _imagine(self) -> AnyHome:
        return making.imagined(self.home)

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
