"""The journey on one page: a repository that keeps every version of a model, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lepton_ai.drafts import Draft, files_of
from lepton_ai.errors import Diverged, UsageError
from lepton_ai.exchanging import Exchanging
from lepton_ai.handles import Branch, Version
from lepton_ai.history import given, listing
from lepton_ai.history.carried import Carried, Prepared, prepare
from lepton_ai.history.changes import branches, deletion, labels
from lepton_ai.history.changes.attempt import Result, attempt
from lepton_ai.history.changes.saving import merge
from lepton_ai.history.files import Found
from lepton_ai.history.files import collect as files_at
from lepton_ai.history.leases import DEFAULT_GRACE
from lepton_ai.history.lines import MAIN
from lepton_ai.history.lines import Found as FoundVersion
from lepton_ai.history.names import check_version_name
from lepton_ai.history.paths import refuse_inside_home
from lepton_ai.history.record import content_id, text
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.save import Saved, Start
from lepton_ai.later import Later
from lepton_ai.opened import Where, id_of
from lepton_ai.store.coder import LONGEST
from lepton_ai.types import LogLine, VersionInfo

if TYPE_CHECKING:
    from lepton_ai import comparing
    from lepton_ai.formats.frameworks import registry as frameworks
    from lepton_ai.history import backup as backups
    from lepton_ai.history import bundle as bundles
    from lepton_ai.history import checkout as checkouts
    from lepton_ai.history import collect as collecting
    from lepton_ai.history import finding, loading
    from lepton_ai.history import repack as repacking
    from lepton_ai.history import stats as counting
    from lepton_ai.history import verify as verifying
    from lepton_ai.history.merging.asked import Asked
    from lepton_ai.history.merging.report import Preview
else:
    comparing = Later("lepton_ai.comparing")
    frameworks = Later("lepton_ai.formats.frameworks.registry")
    backups = Later("lepton_ai.history.backup")
    bundles = Later("lepton_ai.history.bundle")
    checkouts = Later("lepton_ai.history.checkout")
    collecting = Later("lepton_ai.history.collect")
    finding = Later("lepton_ai.history.finding")
    loading = Later("lepton_ai.history.loading")
    repacking = Later("lepton_ai.history.repack")
    counting = Later("lepton_ai.history.stats")
    verifying = Later("lepton_ai.history.verify")


class ModelRepository(Exchanging):
    """The line of versions of one model, in a folder with ``.lepton/`` in it."""

    # Saving

    def save_model(
        self,
        model: object,
        branch: Where = None,
        stem: str = "model",
        *,
        format: str | None = None,  # noqa: A002  (the public keyword)
        example_inputs: object = None,
        parent: str | Version | None = None,
        **carried: Unpack[Carried],
    ) -> Version | Draft:
        """Save a live object of a framework as the next version, or into the draft that is open on ``branch``.

        ``stem`` names the file. ``format`` chooses another than the framework's usual one. ``parent``: the version
        that this one builds upon; when the branch has moved on, the save is refused.

        Raises:
            Unsupported: no framework knows the object, or it has no such format.
            LostRace: ``parent`` is not the branch's newest any more.
        """
        if isinstance(branch, Branch) and branch.draft is not None:
            return branch.draft.save_model(
                model, stem, format=format, example_inputs=example_inputs, **carried
            )
        prepared, into, expected = prepare(carried), *self._onto(branch, parent)
        with self.home.staged() as folder:
            saved = frameworks.save(model, folder, stem, format, example_inputs=example_inputs)
            notes = (saved.note,) if saved.note else ()
            act = self._act(prepared.message)
            done = self._saver.new(into, files_of(saved.paths), prepared, act, expected=expected)
            return self._made(done, notes)

    def save_files(
        self,
        paths: str | Path | Sequence[str | Path],
        branch: Where = None,
        *,
        name: str | None = None,
        parent: str | Version | None = None,
        **carried: Unpack[Carried],
    ) -> Version:
        """Save files, or a folder's content, as the next version of a branch, as ``name``, or into its open draft."""
        if isinstance(branch, Branch) and branch.draft is not None:
            if name or parent:
                raise UsageError(f"draft {branch.draft.label} is open on this branch", hint="close it first")
            return branch.draft.take(paths, carried)  # type: ignore[return-value]  # closed, it has all that a version has
        prepared, files = prepare(carried), files_at(paths)
        into, expected = self._onto(branch, parent)
        act = self._act(prepared.message)
        return self._made(self._saver.new(into, files, prepared, act, name=name, expected=expected))

    def create_version(
        self,
        version: str,
        model_path: str | Path,
        history_path: str | Path | None = None,
        *,
        branch: Where = None,
        **carried: Unpack[Carried],
    ) -> Version:
        """Take a finished file or folder as the version called ``version``; an existing one gets a new revision.

        ``history_path``: training curves as JSON or CSV.
        """
        if history_path is not None:
            carried["history"] = given.path(history_path, "history_path")
        prepared = prepare(carried)
        start = self.open_draft(self._branch_name(branch), version)
        return self.fill_draft(start, files_at(model_path), prepared)

    def update_version(
        self,
        version: Version | str,
        model: object = None,
        stem: str | None = None,
        **carried: Unpack[Carried],
    ) -> Version:
        """Write a new revision of a version: a live object or paths as ``model``, or only what ``carried`` changes."""
        prepared, found = prepare(carried), self._found(version)
        if model is None and prepared == Prepared():
            raise UsageError("nothing is given to update", hint="give a model, files, metrics, a message …")
        start = Start(found.record.branch, found.row.name, None, found)
        if model is None or isinstance(model, str | Path):
            return self.fill_draft(start, files_at(model) if model is not None else None, prepared)
        with self.home.staged() as folder:
            saved = frameworks.save(model, folder, "model" if stem is None else stem)
            return self.fill_draft(
                start, files_of(saved.paths), prepared, (saved.note,) if saved.note else ()
            )

    def rollback(
        self, version: str | Version, branch: Where = None, *, message: str | None = None
    ) -> Version:
        """Make a new version that carries what an older one carries: content, params, dataset, code, environment."""
        into = self._branch_name(branch)
        address = version.id if isinstance(version, Version) else text(version, "the version")
        why = message or f"roll back to {version.name if isinstance(version, Version) else address}"
        return self._version(self._saver.rollback(address, into, self._act(why), message))

    def merge_branch(
        self,
        source: Where,
        into: Where = MAIN,
        *,
        message: str = "",
        fast_forward: bool = True,
        **asked: Unpack[Asked],
    ) -> Version | None:
        """Bring what ``source`` has into ``into``; None when there is nothing new.

        ``into`` moves forward when it has nothing of its own (without ``fast_forward`` it gets a version with the
        content of ``source``). Else the weights are merged: what one side alone changed is taken bit for bit, and what
        both changed is merged as is ``asked`` for: by ``method``, ``rules``, ``parameters``, or ``on_conflict``.

        Raises:
            Diverged: something conflicts that nothing was said about, or cannot be merged; nothing was done.
        """
        both, act, verbs = (self._branch_name(source), self._branch_name(into)), self._act(message), None
        if asked:  # checked before anything moves
            verbs = self.merging
            verbs.request(asked)
            verbs.open_of(asked)
        try:
            row = attempt(
                self.home.history,
                lambda: merge(self.lines, *both, act, message=message, fast_forward=fast_forward),
            )
        except Diverged:
            verbs = verbs or self.merging
            done = verbs.branch(
                *both, act, verbs.request(asked), message=message, fast_forward=fast_forward,
                open_=verbs.open_of(asked),
            )  # fmt: skip
            return self._made(done) if done else None
        return self._version(row) if row else None

    def merge_versions(
        self,
        versions: Sequence[str | Version | Branch],
        into: Where = MAIN,
        *,
        message: str = "",
        **asked: Unpack[Asked],
    ) -> Version | None:
        """Merge several versions, and what ``into`` stands on, into its next version; see :meth:`merge_branch`.

        What others come from is no model of its own; where one has all, the next version has its content.
        """
        ids = [self._found(version).row.id for version in given.several(versions, "versions")]
        verbs, target, act = self.merging, self._branch_name(into), self._act(message)
        done = verbs.versions(ids, target, act, verbs.request(asked), message, verbs.open_of(asked))
        return self._made(done) if done else None

    def preview_merge(
        self,
        source: Where | Sequence[str | Version | Branch],
        into: Where = MAIN,
        *,
        fast_forward: bool = True,
        **asked: Unpack[Asked],
    ) -> Preview:
        """What :meth:`merge_branch` (of several: :meth:`merge_versions`) would do, and whether it can."""
        verbs, target = self.merging, self._branch_name(into)
        wanted, open_ = verbs.request(asked), verbs.open_of(asked)
        if source is None or isinstance(source, str | Branch):
            name = self._branch_name(source)
            return verbs.preview_branch(name, target, wanted, fast_forward=fast_forward, open_=open_)
        ids = [self._found(version).row.id for version in given.several(source, "versions")]
        return verbs.preview_versions(ids, target, wanted, open_)

    def replay_merge(self, version: str | Version) -> bool:
        """Do a merge of weights again without saving it: whether it gives the content that the version has."""
        found = self._found(version)
        return self.merging.replay(found) == content_id(found.record.files)

    # Branches, tags, aliases

    @property
    def current_branch(self) -> str:
        """The branch that is meant when none is named."""
        return self.home.current

    def switch(self, branch: Where) -> None:
        """Mean another branch from now on."""
        self.home.current = self.lines.branch(self._branch_name(branch)).name

    def branch(self, name: str | None = None) -> Branch:
        """A handle on an existing branch (default: the current one)."""
        return Branch(self, self.lines.branch(self._branch_name(name)).name)

    def branches(self) -> list[Branch]:
        """Handles on all branches, main first."""
        return [Branch(self, branch.name) for branch in self.lines.branches()]

    def create_branch(
        self, name: str, base: str | Branch | Version | None = None, *, exist_ok: bool = False
    ) -> Branch:
        """Start a branch from a version or a branch (default: the newest of main; empty when there is none)."""

        def build() -> Result[str]:
            return branches.create(self.lines, name, self._act(), base=self._base(base), exist_ok=exist_ok)

        return Branch(self, attempt(self.home.history, build))

    def rename_branch(self, old: str, new: str) -> Branch:
        """Call a branch otherwise."""
        attempt(self.home.history, lambda: branches.rename(self.lines, old, new, self._act()))
        if self.home.current == old:
            self.home.current = new
        return Branch(self, new)

    def delete_branch(self, branch: Where, *, why: str = "") -> list[str]:
        """Delete a branch; merged versions stay, the others (their names are returned) can be restored with it."""
        if branch is None:
            raise UsageError("the branch to delete is not named", hint="give its name")
        name = self._branch_name(branch)
        gone = attempt(self.home.history, lambda: branches.delete(self.lines, name, self._act(why)))
        if self.home.current == name:
            self.home.current = MAIN
        return gone

    def restore_branch(self, name: str) -> Branch:
        """Bring a deleted branch back, with the versions that went together with it."""
        attempt(self.home.history, lambda: branches.restore(self.lines, name, self._act()))
        return Branch(self, name)

    def tag(self, name: str, version: str | Version | Branch, *, message: str = "") -> Version:
        """Fix a name for a version; a branch stands for its newest."""
        return self._label("tag", name, version, message)

    def set_alias(self, name: str, version: str | Version | Branch, *, message: str = "") -> Version:
        """Let a movable name mean a version from now on; its history is kept."""
        return self._label("alias", name, version, message)

    def remove_tag(self, name: str) -> None:
        """Remove a tag."""
        attempt(self.home.history, lambda: labels.remove(self.lines, "tag", name, self._act()))

    def remove_alias(self, name: str) -> None:
        """Remove an alias; its history stays."""
        attempt(self.home.history, lambda: labels.remove(self.lines, "alias", name, self._act()))

    def tags(self) -> dict[str, Version]:
        """Every tag and what it means."""
        return self._labels("tag")

    def aliases(self) -> dict[str, Version]:
        """Every alias and what it means now."""
        return self._labels("alias")

    def log(self, ref: str = "", *, limit: int | None = None) -> list[LogLine]:
        """Moves of a ref, newest first: "branch/main", "tag/x", "alias/production"; "" gives all."""
        return listing.log(self.lines, text(ref, "the ref"), limit=given.count(limit, "limit"))

    # Reading

    def version(self, address: str, branch: Where = None, *, deleted: bool = False) -> Version:
        """The version that ``address`` means: ``branch@v2``, ``v2``, ``v2~1``, a tag, alias, branch or id.

        Raises:
            NotFound: there is none, or it was deleted (with ``deleted``, that is no error).
        """
        meant = text(address, "the version")
        return Version(self, self.lines.resolve(meant, self._branch_name(branch), deleted=deleted))

    def list_versions(
        self, branch: Where = None, *, deleted: bool = False, limit: int | None = None, where: str = "",
        order_by: str = "",
    ) -> list[VersionInfo]:  # fmt: skip
        """Versions of a branch, or of all, oldest first: the newest ``limit`` of them, or with ``order_by`` the first.

        ``where="metrics.accuracy > 0.9"`` and ``order_by="metrics.loss, created DESC"``: see docs/search.md.
        """
        name, most = None if branch is None else self._branch_name(branch), given.count(limit, "limit")
        if where or order_by:
            return finding.versions(self.lines, name, where, order_by, deleted=deleted, limit=most)
        return listing.versions(self.lines, name, deleted=deleted, limit=most)

    def info(self, version: Version) -> VersionInfo:
        """A version's line in the list, as of now."""
        return listing.info_of(self.lines, self.lines.version(id_of(version)).row)

    def revisions(self, version: Version) -> list[Version]:
        """All revisions of a version, the first one first."""
        found = self.lines.version(id_of(version))
        return [self._version(row) for row in self.lines.revisions(found)]

    def load_model(
        self, version: str | Version, branch: Where = None, *, trust: bool = False, path: str | None = None
    ) -> Any:
        """The framework's own object. ``path`` chooses one of several models in the version.

        Raises:
            Untrusted: loading could run code, and ``trust`` is False.
            MissingExtra: the framework is not installed.
        """
        trust = given.switch(trust, "trust")
        entries = self._found(version, self._branch_name(branch)).record.files
        loader = loading.Loader(self.reader, self.home, self.home.staged, self.progress)
        return loader.load(entries, trust=trust, path=path)

    def checkout(
        self, version: str | Version, folder: str | Path = ".", *, force: bool = False
    ) -> list[Path]:
        """Write a version's files, byte for byte, into ``folder``; see :func:`lepton_ai.history.checkout.checkout`."""
        entries = self._found(version).record.files
        target = given.path(folder, "the folder to check out into")
        refuse_inside_home(target)
        return checkouts.checkout(
            self.reader, self.home, entries, target, force=force, progress=self.progress
        )

    # Comparing

    def diff(
        self,
        before: comparing.Comparable,
        after: comparing.Comparable | None = None,
        branch: Where = None,
        **asked: Unpack[comparing.Wanted],
    ) -> comparing.Difference:
        """What lies between two versions, or a version and files on the disk; see :func:`lepton_ai.comparing.diff`."""
        return comparing.diff(self, before, after, branch, **asked)

    def tensor_history(
        self,
        name: str,
        branch: Where = None,
        *,
        element: int | tuple[int, ...] | None = None,
        stat: str = "norm",
    ) -> comparing.TensorHistory:
        """A tensor's element or statistic along a branch; see :func:`lepton_ai.comparing.tensor_history`."""
        return comparing.tensor_history(self, name, branch, element=element, stat=stat)

    # Deleting

    def delete_version(self, address: str | Version, branch: Where = None, *, why: str = "") -> Version:
        """Put a tombstone on a version; it can be restored until gc frees its bytes after the grace period."""
        if not isinstance(address, Version):
            meant = text(address, "the version")
            address = Version(self, deletion.meant(self.lines, meant, self._branch_name(branch)))
        first = self.lines.version(bytes.fromhex(address.id)).row.first
        attempt(self.home.history, lambda: deletion.delete(self.lines, first, self._act(why)))
        return address

    def restore_version(self, address: str | Version, branch: Where = None) -> Version:
        """Take the tombstone off a version; branches stay where they are."""
        version = address if isinstance(address, Version) else self.version(address, branch, deleted=True)
        vid = bytes.fromhex(version.id)
        attempt(self.home.history, lambda: deletion.restore(self.lines, self.lines.version(vid), self._act()))
        return version

    # Keeping house

    def gc(self, *, grace: float = DEFAULT_GRACE, dry_run: bool = False) -> collecting.Report:
        """Free what no living or restorable version reaches; ``grace`` in seconds."""
        return collecting.Collector(self.lines, self.home.store, self._act(), self.progress).run(
            grace=grace, dry_run=dry_run
        )

    def repack(self, *, max_chain: int = LONGEST, dry_run: bool = False) -> repacking.Repacked:
        """Decide anew how everything is stored: few bytes, and at most ``max_chain`` objects to open for a block."""
        return repacking.Repack(self.home, self.lines, self._act(), self.progress).run(
            max_chain=max_chain, dry_run=dry_run
        )

    def verify(self, *, fast: bool = False) -> verifying.Verdict:
        """Check everything (``fast``: the structure only) and say what is damaged and whom it touches."""
        return verifying.Verifier(self.home, self.lines, self.progress).run(fast=fast)

    def stats(self) -> counting.Stats:
        """What the repository takes, in all and version by version."""
        return counting.stats(self.home, self.lines)

    def backup(self, target: str | Path) -> backups.Copied:
        """Copy everything into the folder ``target``, while others write; verified."""
        return backups.backup(
            self.home, given.path(target, "the folder of the backup"), progress=self.progress
        )

    def export_version(self, version: str | Version, target: str | Path, *, force: bool = False) -> Path:
        """Write one version into a single file, in plain; see :mod:`lepton_ai.history.bundle`."""
        found = self._found(version)
        file = given.path(target, "the file to export to")
        refuse_inside_home(file)
        return bundles.export(
            self.reader, found.record, found.row.id.hex(), file, force=force, progress=self.progress
        )

    def import_version(self, source: str | Path, branch: Where = None, *, name: str | None = None) -> Version:
        """Take an exported version in, as the next one of a branch (``name``: called so)."""
        file = given.path(source, "the file to import")
        with self.home.staged() as folder:
            unpacked = bundles.unpack(file, folder, progress=self.progress)
            done = self._saver.imported(unpacked, self._branch_name(branch), name, self._act())
        return self._made(done)

    # For the handles

    def open_draft(self, branch: str, name: str | None) -> Start:
        """What a draft of this name builds upon."""
        state = self.lines.branch(branch)
        if name is not None:
            check_version_name(name)
        revised = None if name is None else self.lines.on_branch(state, name)
        return Start(branch, name, state.head, revised, state.state.uid)

    def fill_draft(
        self, start: Start, files: list[Found] | None, prepared: Prepared, notes: tuple[str, ...] = ()
    ) -> Version:
        """Save what a draft gathered, as the version or revision that it was opened for."""
        return self._made(self._saver.fill(start, files, prepared, self._act(prepared.message)), notes)

    # Inside

    def _version(self, row: VersionRow) -> Version:
        return Version(self, self.lines.version(row.id))

    def _made(self, done: Saved, notes: tuple[str, ...] = ()) -> Version:
        return Version(self, self.lines.version(done.row.id), (*notes, *done.notes), done.new_bytes)

    def _label(self, kind: labels.Kind, name: str, version: str | Version | Branch, message: str) -> Version:
        def build() -> Result[FoundVersion]:
            found = self._found(version)
            return Result(labels.put(self.lines, kind, name, found, self._act(message)).commit, found)

        return Version(self, attempt(self.home.history, build))

    def _labels(self, kind: labels.Kind) -> dict[str, Version]:
        targets = {ref.key[len(kind) + 1 :]: labels.target(ref) for ref in self.home.history.scan(f"{kind}/")}
        found = self.lines.all_of(list(targets.values()))
        return {name: Version(self, found[target]) for name, target in targets.items()}
