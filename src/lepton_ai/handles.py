"""What a person holds in the hand: a branch, a version. They read afresh at every question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from lepton_ai.drafts import Draft
from lepton_ai.errors import Damaged, NotFound, UsageError
from lepton_ai.history.carried import Carried
from lepton_ai.history.lines import Found as FoundVersion
from lepton_ai.history.record import content_id, metric_values, timestamp
from lepton_ai.later import Later
from lepton_ai.types import (
    Attachment,
    Code,
    Dataset,
    Environment,
    FileEntry,
    Operation,
    Record,
    Status,
    TensorInfo,
    VersionInfo,
)

if TYPE_CHECKING:
    import numpy as np

    from lepton_ai.comparing import Comparable, Difference, TensorHistory, Wanted
    from lepton_ai.history.merging import outcome as outcomes
    from lepton_ai.repository import ModelRepository
else:
    outcomes = Later("lepton_ai.history.merging.outcome")


class Branch:
    """A branch of a repository. A draft that :meth:`create_version` opens belongs to this handle."""

    def __init__(self, repository: ModelRepository, name: str) -> None:
        self._repository = repository
        self.name = name
        self.draft: Draft | None = None

    def __repr__(self) -> str:
        return f"<Branch {self.name}>"

    @property
    def head(self) -> Version | None:
        """The newest version; None when nothing was saved yet."""
        head = self._repository.lines.branch(self.name).head
        return Version(self._repository, self._repository.lines.version(head)) if head else None

    def versions(self, *, deleted: bool = False, limit: int | None = None) -> list[VersionInfo]:
        """The branch's versions, oldest first; the newest ``limit`` of them."""
        return self._repository.list_versions(self.name, deleted=deleted, limit=limit)

    def version(self, address: str) -> Version:
        """A version by its name on this branch, a tag, alias or id."""
        return self._repository.version(address, self)

    def create_version(self, name: str | None = None) -> Draft:
        """Open a draft called ``name`` (None: the next number): the next save on this handle fills and closes it.

        With ``with`` it takes several files and closes at the end of the block. The name of an existing version opens
        a new revision of that version.

        Raises:
            UsageError: another draft is open on this handle.
            InvalidName: a version cannot be called so.
        """
        if self.draft is not None:
            raise UsageError(
                f"draft {self.draft.label} is open on this branch", hint="save into it, or close it first"
            )
        self.draft = Draft(self._repository, self, name)
        return self.draft

    def rollback_to_version(self, version: str | Version, *, message: str | None = None) -> Version:
        """Make a new version with the content, params, dataset, code and environment of an older one."""
        return self._repository.rollback(version, self, message=message)

    def delete_version(self, address: str | Version, *, why: str = "") -> None:
        """Put a tombstone on a version; :meth:`ModelRepository.restore_version` takes it off again."""
        self._repository.delete_version(address, self, why=why)

    def tensor_history(
        self, name: str, *, element: int | tuple[int, ...] | None = None, stat: str = "norm"
    ) -> TensorHistory:
        """A tensor's element or statistic along the branch; see :meth:`ModelRepository.tensor_history`."""
        return self._repository.tensor_history(name, self, element=element, stat=stat)


class Version:
    """One version, as the revision that was asked for; it never changes.

    ``history``, ``packages`` and ``patch`` raise NotFound where gc has freed them with a deleted version's bytes.
    """

    def __init__(
        self,
        repository: ModelRepository,
        found: FoundVersion,
        notes: tuple[str, ...] = (),
        new_bytes: int | None = None,
    ) -> None:
        self._repository, self._found = repository, found
        self.record: Record = found.record
        self.notes = notes
        self.new_bytes = new_bytes
        """By how many bytes the save which returned this let the packs grow; None on a version that was looked up."""

    def __repr__(self) -> str:
        return f"<Version {self.record.branch}@{self.name} {self.id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def name(self) -> str:
        """Its name: v1, v2 … or as given."""
        return self.record.name

    @property
    def id(self) -> str:
        """The revision's id: hexadecimal SHA-256 of its canonical record."""
        return self._found.row.id.hex()

    @property
    def content_id(self) -> str:
        """Hexadecimal SHA-256 over the files alone."""
        return content_id(self.record.files)

    @property
    def revision(self) -> int:
        """1 for the first revision, and so on."""
        return self._found.row.revision

    @property
    def address(self) -> str:
        """What means this revision: ``branch@name``, with ``~N`` when there was a newer one as it was looked up."""
        old = f"~{self.revision}" if self._found.newest != self._found.row.id else ""
        return f"{self.branch}@{self.name}{old}"

    @property
    def branch(self) -> str:
        """The branch it was saved on."""
        return self.record.branch

    @property
    def status(self) -> Status:
        """Active, Deleted or Purged, as of now."""
        return self._repository.info(self).status

    @property
    def created_at(self) -> str:
        """When its first revision was saved (RFC 3339, UTC)."""
        return self._repository.info(self).created_at

    @property
    def updated_at(self) -> str:
        """When its newest revision was saved (RFC 3339, UTC)."""
        return timestamp(self._repository.lines.version(self._found.row.id).state.updated_at)

    @property
    def author(self) -> str:
        """Who saved it."""
        return self.record.author

    @property
    def message(self) -> str:
        """Why, in the author's words."""
        return self.record.message

    @property
    def operation(self) -> Operation:
        """What made it: save, update, rollback, merge, import."""
        return self.record.operation

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the versions that it came from; the first is the one before it on its branch."""
        return self.record.parents

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Its files, by path."""
        return self.record.files

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters."""
        return dict(self.record.params)

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics."""
        return metric_values(self.record.metrics)

    @property
    def dataset(self) -> Dataset | None:
        """The data it was trained on, as told."""
        return self.record.dataset

    @property
    def code(self) -> Code | None:
        """The git checkout it was saved from."""
        return self.record.code

    @property
    def environment(self) -> Environment | None:
        """The Python and platform it was saved with."""
        return self.record.environment

    @property
    def history(self) -> dict[str, list[float]]:
        """Its training curves: name → numbers; empty when none were given."""
        if self.record.training is None:
            return {}
        data = self._attachment(self.record.training, "training history")
        curves = msgspec.json.decode(data, type=dict[str, list[float | str]])
        return {
            name: list(metric_values({str(i): v for i, v in enumerate(c)}).values())
            for name, c in curves.items()
        }

    @property
    def packages(self) -> dict[str, str]:
        """Installed packages when it was saved: name → version."""
        kept = self.record.environment.packages if self.record.environment else None
        return msgspec.json.decode(self._attachment(kept, "packages"), type=dict[str, str]) if kept else {}

    @property
    def patch(self) -> bytes:
        """Uncommitted changes of the git checkout, as ``git apply`` takes them; empty when there were none."""
        kept = self.record.code.patch if self.record.code else None
        return self._attachment(kept, "patch") if kept else b""

    @property
    def merged(self) -> outcomes.Outcome | None:
        """What the merge of weights that made it was asked, and did with every tensor; None when none made it."""
        kept = self.record.operation.outcome
        return outcomes.Outcome.of(self._attachment(kept, "account of the merge")) if kept else None

    def tensors(self) -> list[TensorInfo]:
        """Names, dtypes and shapes of every tensor, without reading data."""
        return self._repository.reader.tensor_infos(self._living().files)

    def tensor(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """One tensor; reads only its own blocks and their bases.

        Raises:
            NotFound: there is none of this name.
            Ambiguous: several files have it: write ``file:name``.
        """
        return self._repository.reader.tensor(self._living().files, name)

    def diff(self, other: Comparable, **asked: Unpack[Wanted]) -> Difference:
        """What lies between this version and ``other``, as the newer side; see :meth:`ModelRepository.diff`."""
        return self._repository.diff(self, other, **asked)

    def checkout(self, folder: str | Path = ".", *, force: bool = False) -> list[Path]:
        """Write the files, byte for byte as they were saved, into ``folder``; their places."""
        return self._repository.checkout(self, folder, force=force)

    def load(self, *, trust: bool = False) -> Any:
        """The framework's own object."""
        return self._repository.load_model(self.id, trust=trust)

    def update(self, model: object = None, stem: str | None = None, **carried: Unpack[Carried]) -> Version:
        """Write a new revision under the same name: another model, or only other metrics, params, message …"""
        return self._repository.update_version(self, model, stem, **carried)

    def revisions(self) -> list[Version]:
        """All revisions, the first one first."""
        return self._repository.revisions(self)

    def _attachment(self, kept: Attachment, what: str) -> bytes:
        try:
            return self._repository.reader.attachment(kept)
        except Damaged as problem:
            freed = self._repository.lines.version(self._found.row.id).state.purged_at
            if freed is None:
                raise Damaged(
                    f"the {what} of version {self.name!r} cannot be read: {problem.message}",
                    hint=problem.hint,
                ) from problem
            raise NotFound(
                f"gc freed the {what} of version {self.name!r} on {timestamp(freed)[:10]}",
                hint="only a backup still has it",
            ) from None

    def _living(self) -> Record:
        return self._repository.living(self).record
