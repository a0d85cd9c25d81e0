"""Merges in progress, and single changes taken over or back: what a repository offers beside whole merges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from lepton_ai.handles import Branch, Version
from lepton_ai.history import given
from lepton_ai.history.changes import merging as rules
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.save import Saved
from lepton_ai.later import Later
from lepton_ai.opened import Opened, Where
from lepton_ai.unfinished import UnfinishedMerge

if TYPE_CHECKING:
    from lepton_ai.history.merging import verbs
    from lepton_ai.history.merging.asked import Asked
    from lepton_ai.history.merging.picking import Kind
    from lepton_ai.history.merging.report import Preview
    from lepton_ai.repository import ModelRepository
else:
    verbs = Later("lepton_ai.history.merging.verbs")


class Together(Opened):
    """What :class:`~lepton_ai.repository.ModelRepository` can do with parts of a merge."""

    def merges_in_progress(self) -> list[UnfinishedMerge]:
        """Merges that wait for decisions, by the name of their branch."""
        return [UnfinishedMerge(self._whole, each.branch) for each in rules.all_under_way(self.lines)]

    def merge_in_progress(self, into: Where = None) -> UnfinishedMerge:
        """The merge into a branch that waits for decisions (default: the only one that does).

        Raises:
            NotFound: none does. Ambiguous: several do, and no branch is named.
        """
        if into is None:
            return UnfinishedMerge(self._whole, rules.the_one_under_way(self.lines).branch)
        return UnfinishedMerge(self._whole, rules.under_way(self.lines, self._branch_name(into)).branch)

    def cherry_pick(
        self,
        version: str | Version | Branch,
        into: Where = None,
        *,
        message: str = "",
        **asked: Unpack[Asked],
    ) -> Version:
        """Take one version's change over to a branch (default: the current one), as its next version.

        A tensor that the branch still has as the version's parent had it becomes the version's, bit for bit; elsewhere
        the difference is added. ``asked``: as for a merge, another ``method`` or what to do ``on_conflict``.

        Raises:
            Diverged: something cannot be added (other shapes, integers), and nothing was said about it.
            UsageError: the version has no parent, or the branch has it.
        """
        return self._picked("cherry-pick", version, into, message, asked)

    def revert(
        self,
        version: str | Version | Branch,
        branch: Where = None,
        *,
        message: str = "",
        **asked: Unpack[Asked],
    ) -> Version:
        """Take one version's change back, also in the middle of a branch (default: the current one).

        What came later stays. A tensor that later versions did not touch becomes what it was before, bit for bit;
        elsewhere the difference is subtracted. ``asked``: as for a merge.

        Raises:
            Diverged: something cannot be subtracted, and nothing was said about it.
            UsageError: the version has no parent, or the branch never had it.
        """
        return self._picked("revert", version, branch, message, asked)

    def preview_pick(
        self, kind: Kind, version: str | Version | Branch, into: Where = None, **asked: Unpack[Asked]
    ) -> Preview:
        """What :meth:`cherry_pick` or :meth:`revert` (``kind``: "cherry-pick", "revert") would do, and whether it can.

        Raises:
            UsageError: the version has no parent, or the branch has it (of a revert: never had it).
        """
        found, target = self._found(version), self._branch_name(into)
        wanted = self.merging.request(self.merging.whole(asked))
        return self.merging.picking.preview(kind, found, target, wanted)

    def read_merge_config(self, config: str | Path, versions: Sequence[str] = ()) -> tuple[list[str], Asked]:
        """The versions and the ``asked`` for :meth:`merge_versions` of a file in mergekit's YAML dialect.

        Its models are addresses of versions; or ``versions`` are, in the order in which it names models.
        """
        return self.merging.configured(given.path(config, "the configuration"), versions)

    @cached_property
    def merging(self) -> verbs.Verbs:
        """The verbs of merging, imported when they are first used."""
        return verbs.Verbs(self.home, self.lines, self._found, self.progress)

    def acting(self, why: str = "") -> Act:
        """Who acts, now."""
        return self._act(why)

    def version_of(self, done: Saved) -> Version:
        """The version that was made."""
        return Version(self._whole, self.lines.version(done.row.id), done.notes, done.new_bytes)

    @property
    def _whole(self) -> ModelRepository:
        return cast("ModelRepository", self)

    def _picked(self, kind: Kind, version: object, branch: Where, message: str, asked: Asked) -> Version:
        found, into = self._found(version), self._branch_name(branch)
        wanted = self.merging.request(self.merging.whole(asked))
        done = self.merging.picking.run(kind, found, into, wanted, self._act(message), message)
        return self.version_of(done)
