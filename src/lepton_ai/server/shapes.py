"""The resources for people and the UI, as they pass over HTTP: the JSON of the command line, with names and types.

Times are RFC 3339 in UTC, sizes bytes, ids hexadecimal. Numbers that JSON does not have are the words "NaN", "Infinity"
and "-Infinity".
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from lepton_ai.decodable import ready
from lepton_ai.server.bodies import told
from lepton_ai.types import FileEntry, Operation, Status, without_nan

T = TypeVar("T")
Number = float | str
"""A number, or the word for one that JSON does not have."""
Name = Annotated[str, Meta(examples=["v2"])]
Id = Annotated[str, Meta(examples=["8a4e5c39d1f2…"], description="64 hexadecimal digits")]
Time = Annotated[str, Meta(examples=["2026-11-20T10:30:00.000000Z"])]
Metrics = Annotated[dict[str, Number], Meta(examples=[{"accuracy": 0.97}])]


class VersionLine(msgspec.Struct, frozen=True):
    """A version in a list. ``id`` is its newest revision's; ``stored_bytes`` is what its files take in packs."""

    name: Name
    id: Id
    branch: Annotated[str, Meta(examples=["main"])]
    status: Status
    created_at: Time
    updated_at: Time
    author: Annotated[str, Meta(examples=["ada"])]
    metrics: Metrics
    raw_bytes: int
    stored_bytes: int
    message: str
    revision: int


class Versions(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of versions; ``next`` continues it."""

    versions: tuple[VersionLine, ...]
    next: str | None = None


class RevisionLine(msgspec.Struct, frozen=True):
    """A revision of a version."""

    revision: int
    id: Id
    at: Time


class VersionFacts(VersionLine, frozen=True, kw_only=True):
    """Everything that a version carries. ``notes``: what could not be read, and why."""

    content_id: str
    operation: Operation
    parents: tuple[str, ...]
    revisions: tuple[RevisionLine, ...]
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    params: dict[str, Any]
    dataset: dict[str, Any] | None
    history: dict[str, Any]
    code: dict[str, Any] | None
    environment: dict[str, Any] | None
    files: tuple[FileEntry, ...]
    merge: dict[str, Any] | None
    notes: tuple[str, ...]
    packages: dict[str, str] = {}


class Made(VersionLine, frozen=True, kw_only=True):
    """A version that was made: ``new_bytes`` is what the packs grew, ``notes`` what people should know about it."""

    new_bytes: int = 0
    notes: tuple[str, ...] = ()


class NewFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a new version: small ones with their ``content`` (Base64), larger ones by an ``upload``, which was
    brought as packs are, under the SHA-256 of the file in place of a pack's name.
    """

    path: Annotated[str, Meta(examples=["model.safetensors"])]
    content: bytes | None = None
    upload: str = ""
    executable: bool = False


class NewVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next version of a branch. ``parent``: the version that it builds upon; refused when the branch moved on."""

    files: tuple[NewFile, ...]
    branch: str = "main"
    name: str | None = None
    message: str = ""
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    history: dict[str, list[Any]] | None = None
    dataset: dict[str, Any] | str | None = None
    parent: str | None = None


class NewImport(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exported version to be taken in: its bytes, or an upload of them (see NewFile)."""

    content: bytes | None = None
    upload: str = ""
    branch: str = "main"
    name: str | None = None


class UpdateVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new revision: what is given replaces what there was; ``deleted`` puts a tombstone on it, or takes it off."""

    metrics: dict[str, Any] | None = None
    params: dict[str, Any] | None = None
    history: dict[str, list[Any]] | None = None
    dataset: dict[str, Any] | str | None = None
    message: str | None = None
    files: tuple[NewFile, ...] | None = None
    deleted: bool | None = None


class Rollback(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new version with what an older one carries."""

    version: Name
    branch: str = "main"
    message: str | None = None


class TensorLine(msgspec.Struct, frozen=True):
    """A tensor of a version; ``nbytes`` is what it takes in its file."""

    name: str
    file: str
    dtype: Annotated[str, Meta(examples=["float32"])]
    shape: tuple[int, ...]
    nbytes: int


class Tensors(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of tensors, in the order of their files."""

    tensors: tuple[TensorLine, ...]
    next: str | None = None


class TensorFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tensor: its numbers summed up, and a stretch of them in row-major order from element ``start``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    nbytes: int
    start: int
    values: tuple[Any, ...]
    min: Number | None = None
    max: Number | None = None
    mean: Number | None = None
    std: Number | None = None
    zeros: int | None = None
    not_finite: int | None = None


def shaped(kind: type[T], value: object, status: int = 200, headers: dict[str, str] | None = None) -> T:
    """An answer of this shape, of plain values or structs."""
    plain = without_nan(msgspec.to_builtins(value))
    return told(msgspec.convert(plain, ready(kind)), status, headers)
