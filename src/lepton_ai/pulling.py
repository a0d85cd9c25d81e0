"""Pull: what a repository offers to take over from other places of itself, and to bring both together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

from msgspec.structs import replace

from lepton_ai.bringing import Bringing, How
from lepton_ai.errors import Diverged, NotFound, Unsupported, UsageError
from lepton_ai.history.home import Home
from lepton_ai.later import Later
from lepton_ai.opened import Where

if TYPE_CHECKING:
    from lepton_ai.client import remotes
    from lepton_ai.client.remotes import Remote
    from lepton_ai.client.sync import ends, pull, rehearsing
    from lepton_ai.client.sync.updates import Taken
    from lepton_ai.history.any_home import AnyHome
    from lepton_ai.history.merging.asked import Asked
    from lepton_ai.repository import ModelRepository
else:
    remotes = Later("lepton_ai.client.remotes")
    ends = Later("lepton_ai.client.sync.ends")
    pull = Later("lepton_ai.client.sync.pull")
    rehearsing = Later("lepton_ai.client.sync.rehearsing")


class Pulling(Bringing):
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
        metric, say, ``updates`` says whose stands ("mine" or "theirs"). With ``dry_run`` what ``merge`` or ``rebase``
        would do is foretold, with its conflicts.

        Raises:
            Diverged: both sides have versions of their own, or updated the same of a version; nothing of ours moved.
            InUse: another process does the same. NotFound: no such remote.
            UsageError: ``asked`` says something of a merge, and ``how`` is none.
        """
        _check(how, updates, asked)
        found, name = remotes.find(self._here().history, remote), self._branch_name(branch)
        notes = () if dry_run else self._take_up(name)
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
            pulled = replace(pulled, notes=(*notes, *pulled.notes))
            if dry_run and how != "ff-only" and name in pulled.apart:
                with self._twin(theirs, found, name, updates) as (twin, kept):
                    if how == "merge":
                        return replace(pulled, preview=twin.preview_merge(kept, name, **asked))
                    return replace(pulled, steps=twin._foretold(kept, name, asked))  # noqa: SLF001  (one of us)
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
        kept, came = self._bring_together(found, name, how, asked)
        rest = tuple(other for other in pulled.apart if other != name)
        did = "brings both together" if how == "merge" else "is the newest of yours upon theirs"
        did = did if came else "is theirs, and has every change of yours already"
        note = f"{name}@{self._whole.version(name).name} {did}; what was yours is on branch {kept!r}"
        return replace(pulled, branches=(*pulled.branches, name), apart=rest, notes=(*pulled.notes, note))

    @contextmanager
    def _twin(
        self, theirs: AnyHome, remote: Remote, name: str, updates: Taken | None
    ) -> Iterator[tuple[ModelRepository, str]]:
        """A passing copy in which the branch stands where it stands there, and the name of the branch with ours."""
        act = self._act()
        with (
            rehearsing.copied(self._here(), remote, act) as folder,
            type(self._whole)(folder, create=False, author=act.actor, progress=self.progress) as twin,
        ):
            there = remotes.find(twin.home.history, remote.name)
            only = remote.state.only or None
            pull.Pull(twin.home, theirs, there, act, only=only, blocks=False, taking=updates).run()
            kept = twin._put_beside(there, name)  # noqa: SLF001  (one of us)
            yield twin, kept

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


def _check(how: str, updates: str | None, asked: Asked) -> None:
    """See that a pull is asked for as it can be.

    Raises:
        UsageError.
    """
    if how not in ("ff-only", "merge", "rebase"):
        raise UsageError(f"{how!r} is no way to pull", hint="ff-only, merge or rebase")
    if updates not in (None, "mine", "theirs"):
        raise UsageError(f"{updates!r} is no side of an update", hint="mine or theirs")
    if how == "ff-only" and asked:
        raise UsageError(f"{min(asked)} is said, and nothing is to be merged", hint="merge or rebase, too")
