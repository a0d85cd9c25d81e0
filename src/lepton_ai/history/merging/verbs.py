"""Merging, as a repository offers it: a branch into another, several versions into a branch, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from msgspec.structs import replace

from lepton_ai.errors import Diverged, LostRace, UsageError
from lepton_ai.history import graph
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.home import Home
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.merging.asked import Request, request
from lepton_ai.history.merging.report import Preview
from lepton_ai.history.merging.run import Job, Merging
from lepton_ai.history.save import Saved
from lepton_ai.progress import SILENT, Progress

T = TypeVar("T")
TRIES = 5


class Verbs:
    """The verbs over one opened repository; ``find`` resolves the address of a version."""

    def __init__(
        self, home: Home, lines: Lines, find: Callable[[str], Found], progress: Progress = SILENT
    ) -> None:
        self._home, self._lines, self._find = home, lines, find
        self._merging = Merging(home, lines, progress)

    def request(self, asked: Mapping[str, Any]) -> Request:
        """What is asked, checked.

        Raises:
            UsageError: a method, rule or parameter is unknown. NotFound: there is no such base.
        """
        found = request(asked)
        return replace(found, base=self._find(found.base).row.id.hex()) if found.base else found

    def branch(
        self,
        source: str,
        into: str,
        act: Act,
        asked: Request,
        *,
        message: str = "",
        fast_forward: bool = True,
    ) -> Saved | None:
        """Bring a branch into another: by moving it where that is enough, else by merging weights; None: nothing new.

        Raises:
            Diverged: something conflicts that nothing was said about, or cannot be merged.
        """

        def once() -> Saved | None:
            try:
                row = attempt(
                    self._home.history,
                    lambda: changes.merge(
                        self._lines, source, into, act, message=message, fast_forward=fast_forward
                    ),
                )
            except Diverged:
                return self._merging.run(self._job(source, into, asked, message), act)
            return Saved(row) if row else None

        return _again(once)

    def versions(self, ids: Sequence[bytes], into: str, act: Act, asked: Request, message: str) -> Saved:
        """Merge versions, and what the branch ``into`` stands on, into its next one.

        Raises:
            Diverged, UsageError: as above; no two of them went different ways.
        """
        return _again(lambda: self._merging.run(self._of(ids, into, asked, message), act))

    def preview_branch(self, source: str, into: str, asked: Request, *, fast_forward: bool = True) -> Preview:
        """What :meth:`branch` would do."""
        head, target = self._lines.branch(source).head, self._lines.branch(into).head
        if head is None:
            return Preview("nothing", into)
        label = (f"{source}@{self._lines.version(head).row.name}",)
        if target is None:
            return Preview("fast-forward", into, label)
        history = self._lines.history
        if graph.has_version(history, target, head):
            return Preview("nothing", into, label)
        if graph.has_version(history, head, target):
            return Preview("fast-forward" if fast_forward else "take", into, label)
        return self._merging.preview(self._job(source, into, asked, ""))

    def preview_versions(self, ids: Sequence[bytes], into: str, asked: Request) -> Preview:
        """What :meth:`versions` would do."""
        return self._merging.preview(self._of(ids, into, asked, ""))

    def replay(self, found: Found) -> str:
        """Do a merge again without saving it; the content id that comes of it."""
        return self._merging.replay(found)

    def _job(self, source: str, into: str, asked: Request, message: str) -> Job:
        head = self._lines.branch(source).head
        if head is None:
            raise UsageError(f"branch {source!r} has no version to merge")
        return Job(into, (head,), asked, f"{source} into {into}", message)

    def _of(self, ids: Sequence[bytes], into: str, asked: Request, message: str) -> Job:
        names = [f"{found.record.branch}@{found.row.name}" for found in map(self._lines.version, ids)]
        return Job(into, tuple(ids), asked, f"{', '.join(names)} into {into}", message)


def _again(work: Callable[[], T]) -> T:
    """Merge anew, with what is there now, when somebody else saved on the branch meanwhile."""
    for _ in range(TRIES - 1):
        with suppress(LostRace):
            return work()
    return work()
