"""Clone, push and remotes: what a repository offers towards other places of itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from lepton_ai.history import given
from lepton_ai.history import home as homes
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.leases import user_name
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import text
from lepton_ai.later import Later
from lepton_ai.opened import Where
from lepton_ai.progress import SILENT, Progress
from lepton_ai.pulling import Pulling

if TYPE_CHECKING:
    from lepton_ai.client import remotes
    from lepton_ai.client.remotes import Remote
    from lepton_ai.client.sync import cloning, ends, making, pull, push
    from lepton_ai.history.any_home import AnyHome
else:
    remotes = Later("lepton_ai.client.remotes")
    cloning = Later("lepton_ai.client.sync.cloning")
    ends = Later("lepton_ai.client.sync.ends")
    making = Later("lepton_ai.client.sync.making")
    pull = Later("lepton_ai.client.sync.pull")
    push = Later("lepton_ai.client.sync.push")


class Exchanging(Pulling):
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
            if branch is not None:
                Lines(theirs.history).branch(branch)  # before anything is made
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

    def _make(self, url: str, keep_key: bool) -> AnyHome:
        making.make(self.home, url, self._act(), keep_key=keep_key)
        return ends.open_end(url)

    def _imagine(self) -> AnyHome:
        return making.imagined(self.home)
