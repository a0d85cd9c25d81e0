"""A merge in progress, as people hold it: what is open, who decided what, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lepton_ai.handles import Version
from lepton_ai.history import given
from lepton_ai.history.changes import decisions
from lepton_ai.history.changes import merging as rules
from lepton_ai.history.record import text, timestamp
from lepton_ai.history.states import Resolution

if TYPE_CHECKING:
    from lepton_ai.repository import ModelRepository


class OpenConflict(msgspec.Struct, frozen=True):
    """A conflict of a merge in progress; ``resolution`` None: nobody has decided yet."""

    kind: str
    name: str
    why: str
    resolution: Resolution | None


class UnfinishedMerge:
    """A merge that waits for decisions, in a repository for everybody to see. It reads afresh at every question.

    Every method raises NotFound when the merge has ended meanwhile.
    """

    def __init__(self, repository: ModelRepository, branch: str) -> None:
        self._repository, self.branch = repository, branch

    def __repr__(self) -> str:
        return f"<UnfinishedMerge into {self.branch}>"

    @property
    def source(self) -> str:
        """What is merged."""
        return self._now.state.source

    @property
    def started_by(self) -> str:
        """Who began it."""
        return self._now.state.started_by

    @property
    def started_at(self) -> str:
        """When it began (RFC 3339, UTC)."""
        return timestamp(self._now.state.started_at)

    @property
    def said(self) -> str:
        """In words: what into what, by whom, since when."""
        return self._now.said

    @property
    def sides(self) -> dict[str, list[Version]]:
        """The versions: "ours", "theirs" and "base" (several bases after crosswise merges)."""
        state = self._now.state
        ours, *theirs = rules.models(self._repository.lines, state)
        ids = {"ours": [ours], "theirs": theirs, "base": map(bytes.fromhex, state.bases)}
        return {side: [self._version(id_) for id_ in found] for side, found in ids.items()}

    @property
    def conflicts(self) -> list[OpenConflict]:
        """All conflicts, decided ones too."""
        state = self._now.state
        return [
            OpenConflict(one.kind, one.name, one.why, decisions.decided(state, one.name))
            for one in state.conflicts
        ]

    @property
    def open(self) -> list[str]:
        """The names of what is not decided yet."""
        return [conflict.name for conflict in self._now.open]

    def text(self, name: str) -> bytes:
        """The file in which both sides changed the same lines, with both of them between conflict markers.

        Edited, it decides the conflict: ``resolve(name, file=…)``.

        Raises:
            NotFound: it is no conflict. UsageError: it is no text, or not there on both sides.
        """
        return self._repository.merging.waiting.text(self.branch, text(name, "the conflict"))

    def resolve(
        self,
        target: str,
        take: str = "",
        *,
        method: str = "",
        file: str | Path | None = None,
        evaluate: str = "",
        candidates: Sequence[str] | None = None,
        metric: str = "",
        best: str | None = None,
        why: str = "",
        again: bool = False,
        force: bool = False,
    ) -> list[str]:
        """Decide the conflict called ``target``, or all open ones that it fits as a glob; the names of those.

        ``take``: "ours", "theirs" or "base". ``method``: a merge method, for tensors, with parameters as in
        "slerp:t=0.3". ``file``: of a tensor an .npy file, of a file its content. ``evaluate``: try ``candidates`` and
        keep the best; see :meth:`ModelRepository.merge_branch`. ``again``: a glob decides anew what is decided already.
        ``force`` overrules what somebody else decided.

        Raises:
            NotFound: there is no such conflict. UsageError: not one way is said, or it cannot be for a conflict.
            Diverged: somebody else decided already, or nothing that a glob fits is open.
        """
        act, waiting = self._repository.acting(why), self._repository.merging.waiting
        wanted = text(target, "the conflict")
        if evaluate:
            asked = {"evaluate": evaluate, "candidates": candidates, "metric": metric, "best": best}
            verb = self._repository.merging.evaluate
            return list(verb(self.branch, wanted, act, asked, again=again, force=force))
        place = None if file is None else given.path(file, "the file to take")
        return list(
            waiting.resolve(
                self.branch, wanted, act, take=take, method=method, file=place, again=again, force=force
            )
        )

    def finish(self, *, message: str = "") -> Version:
        """Make the merged version, and end the merge.

        Raises:
            Diverged: something is still open. LostRace: somebody decided something at the same time.
        """
        act = self._repository.acting(message)
        return self._repository.version_of(self._repository.merging.waiting.finish(self.branch, act, message))

    def abort(self, *, why: str = "") -> None:
        """Give it up; the branch was never touched. Who decided what stays in the log."""
        self._repository.merging.waiting.abort(self.branch, self._repository.acting(why))

    @property
    def _now(self) -> rules.UnderWay:
        return rules.under_way(self._repository.lines, self.branch)

    def _version(self, id_: bytes) -> Version:
        return Version(self._repository, self._repository.lines.version(id_))
