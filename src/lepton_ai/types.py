"""Frozen values that every room may pass on: what a version carries. Nothing here does I/O."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

Status = Literal["Active", "Deleted", "Purged"]


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a version. ``path`` is relative POSIX, ``sha256`` hexadecimal, ``size`` in bytes.

    ``executable`` is the one mode bit that is kept. ``target`` makes it a symbolic link to another path of the
    version (``sha256`` and ``size`` are then those of nothing: empty and 0).
    """

    path: str
    sha256: str
    size: int
    executable: bool = False
    target: str | None = None


class Attachment(msgspec.Struct, frozen=True):
    """A larger thing kept beside the record, sealed, by its content: hexadecimal SHA-256 and size in bytes."""

    sha256: str
    size: int


class Dataset(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data a version was trained on, as told by whoever saved it."""

    name: str = ""
    source: str = ""
    digest: str = ""
    rows: int | None = None
    preprocessing: tuple[str, ...] = ()
    extra: dict[str, Any] = {}


class Code(msgspec.Struct, frozen=True, omit_defaults=True):
    """The git checkout a version was saved from. ``patch`` holds the uncommitted changes, if there were any."""

    commit: str
    remote: str = ""
    branch: str = ""
    dirty: bool = False
    patch: Attachment | None = None


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version was saved. ``packages`` (name → version) is kept beside the record."""

    python: str
    platform: str
    packages: Attachment | None = None


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an imported version comes from; author and time of the record are those of there.

    ``kind``: dvc, git-lfs, mlflow or huggingface. ``place``: the folder or database it was read from, ``scope``: which
    model or paths of it. ``reference``: what it is called there, a git commit say. ``by`` imported it ``at`` a time
    (RFC 3339). ``missing``: paths of files that could not be had.
    """

    kind: str
    place: str
    reference: str
    by: str
    at: str
    scope: str = ""
    missing: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What made a version: save, update, rollback, merge, import, draft.

    ``source`` is the id of the version that a rollback, merge or import took over; ``detail`` is for people.
    ``outcome`` (of a merge of weights) says what was asked and what became of every tensor, ``given`` is what people
    gave for it; a record with it has schema 2, so that programs which would not keep it refuse the record. ``origin``
    (of an import from another tool) is in the record alone: programs that do not know it pass over it.
    """

    kind: str
    source: str | None = None
    detail: str = ""
    outcome: Attachment | None = None
    given: tuple[Attachment, ...] = ()
    origin: Origin | None = None


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a version (one revision of it) is. Its canonical JSON is what the version id hashes.

    Times are RFC 3339 in UTC with microseconds. ``revises`` is the id of the revision before this one.
    """

    name: str
    branch: str
    author: str
    created_at: str
    operation: Operation
    files: tuple[FileEntry, ...]
    parents: tuple[str, ...] = ()
    revises: str | None = None
    message: str = ""
    params: dict[str, Any] = {}
    metrics: dict[str, float | str] = {}
    dataset: Dataset | None = None
    training: Attachment | None = None
    code: Code | None = None
    environment: Environment | None = None
    schema: int = 1


class VersionInfo(msgspec.Struct, frozen=True):
    """A line of ``list_versions``. Times are RFC 3339 in UTC; sizes in bytes.

    ``id`` is the newest revision's; ``created_at`` the first revision's time, ``updated_at`` the newest's.
    ``stored_bytes`` is what this version's files take in the store, shared parts counted in full for each version.
    """

    name: str
    id: str
    branch: str
    status: Status
    created_at: str
    updated_at: str
    author: str
    message: str
    metrics: dict[str, float]
    revision: int
    raw_bytes: int
    stored_bytes: int


class LogLine(msgspec.Struct, frozen=True):
    """One move of a branch, tag or alias: who, when (RFC 3339, UTC), from which version to which, by which act, why."""

    ref: str
    at: str
    actor: str
    act: str
    why: str
    before: str | None
    after: str | None


class TensorInfo(msgspec.Struct, frozen=True):
    """A tensor of a version, told without reading its data. ``nbytes`` is what it takes in its file."""

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


def without_nan(value: Any) -> Any:
    """JSON has no NaN: the words "NaN", "Infinity" and "-Infinity" stand for it, as they do in the record."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
