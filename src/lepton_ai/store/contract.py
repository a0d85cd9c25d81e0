"""The values that pass between the store and what stands above it.

The store knows nothing of formats or versions. It is given the bytes of a file in order, with a *plan*: runs of
bytes, each opaque or belonging to a named stream (a tensor) with an element type as a hint. It gives back a
:class:`Content`: which blocks the file is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from lepton_ai.errors import Busy, StorageFailed

ID_SIZE = 32
OPAQUE = ""


class Run(msgspec.Struct, frozen=True):
    """``length`` bytes of the file, in order. ``key`` "" is opaque; any other key occurs once in a file."""

    length: int
    key: str = OPAQUE
    dtype: str = "bytes"


class Stream(msgspec.Struct, frozen=True, array_like=True):
    """The bytes of one key, cut into blocks.

    ``blocks`` are the block ids, joined. ``sizes`` are the blocks' plain lengths in bytes when they were cut by
    content; empty when all but the last are ``Content.block_size``.
    """

    key: str
    dtype: str
    length: int
    blocks: bytes
    sizes: tuple[int, ...] = ()

    @property
    def ids(self) -> list[bytes]:
        """The block ids, in order."""
        return [self.blocks[i : i + ID_SIZE] for i in range(0, len(self.blocks), ID_SIZE)]


class Content(msgspec.Struct, frozen=True, array_like=True):
    """A file as the store keeps it: runs (stream number, length) in file order over ``streams``.

    All opaque runs of a file are one stream, joined in order; it is stream 0 when there is one.
    """

    size: int
    block_size: int
    runs: tuple[tuple[int, int], ...]
    streams: tuple[Stream, ...]


class BlobInfo(msgspec.Struct, frozen=True):
    """A blob's name, size in bytes and time of writing (seconds since 1970)."""

    name: str
    size: int
    written_at: float


class Blobs(Protocol):
    """Named immutable byte strings: a folder, memory, an object store. Names are relative POSIX paths."""

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over under ``name``; durable when this returns, and then ``source`` is gone.

        A blob that exists already under this name is left as it is (names are hashes of the content).

        Raises:
            NoSpace, StorageFailed.
        """

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end.

        Raises:
            NotFound: there is no such blob.
            Damaged: it is shorter than that.
            StorageFailed.
        """

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob.

        Raises:
            NotFound: there is no such blob.
        """

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``, in any order; unfinished ones are not among them."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs, durably; those that are gone already are no error."""


class Piece(NamedTuple):
    """``length`` bytes of a blob from ``offset``, which is not negative."""

    blob: str
    offset: int
    length: int


@runtime_checkable
class BringingNear(Protocol):
    """What keepers of blobs across a network can do besides: many small reads for the price of few questions."""

    def bring_near(self, pieces: Iterable[Piece]) -> None:
        """Have these pieces at hand when they are read next, as far as that can be: what is not there is no error.

        Raises:
            StorageFailed.
        """


class Refused(StorageFailed):
    """The store said no for good (credentials, permissions, no such bucket): repeating the call is of no use."""


class PartsUpload(msgspec.Struct, frozen=True):
    """Bytes that somebody brings straight to the store: its own name for it, and an address to PUT each part to."""

    upload: str
    addresses: tuple[str, ...]


@runtime_checkable
class Presigning(Protocol):
    """What some keepers of blobs can do besides: addresses that anybody may use for a while, without credentials."""

    def presign_get(self, name: str, seconds: int) -> str:
        """An address that answers GET, with ``Range``, for so long. It is not checked whether there is such a blob.

        Raises:
            Unsupported: these credentials cannot sign.
        """

    def presign_parts(self, name: str, parts: int, seconds: int) -> PartsUpload:
        """Begin an upload of ``parts`` parts to ``name``; nothing is seen of it before it is finished.

        All parts but the last are of one size, at least 5 MiB. Each PUT answers with an ``ETag``.

        Raises:
            Unsupported: this store, or these credentials, cannot do so.
        """

    def finish_parts(self, name: str, upload: str, etags: Sequence[str]) -> None:
        """Join the parts, durably; once more is no error. To be checked before anybody relies on it: bring it to a name
        that is used once, then :meth:`adopt` it.

        Raises:
            NotFound: there is no such upload (any more).
            UsageError: these are not its parts.
        """

    def abandon_parts(self, name: str, upload: str) -> None:
        """Drop the parts; one that is gone already is no error."""

    def adopt(self, source: str, name: str) -> None:
        """Give the blob ``source`` the name ``name``, inside the store; one that exists there is left as it is.

        Raises:
            NotFound: there is no ``source``.
        """


def presigning(blobs: Blobs) -> Presigning | None:
    """What can presign in ``blobs`` or in what it wraps (``inner``), if anything can."""
    keeper: object = blobs
    while keeper is not None and not isinstance(keeper, Presigning):
        keeper = getattr(keeper, "inner", None)
    return keeper


class Added(msgspec.Struct, frozen=True):
    """A file that a writer took: its content, the SHA-256 of the whole file and its size in bytes."""

    content: Content
    sha256: bytes
    size: int


class PackGone(Busy):
    """A pack that a save relied on was dropped, or lost, meanwhile: save again."""


class Written(msgspec.Struct, frozen=True):
    """What a finished save left behind.

    ``packs`` are the packs that it wrote, ``relied`` the older objects which it relies on (check that they can be read
    without condemned packs in the transaction that moves the ref), ``bytes`` the size of the new packs, ``superseded``
    the older objects that it stored again as differences: their other copies are needless once it counts.
    """

    packs: tuple[str, ...]
    relied: frozenset[bytes]
    superseded: frozenset[bytes]
    bytes: int


class PackInfo(msgspec.Struct, frozen=True):
    """A pack: its name (64 hexadecimal digits), size in bytes, number of objects, time of writing (since 1970)."""

    name: str
    size: int
    objects: int
    written_at: float


class PackUse(msgspec.Struct, frozen=True):
    """How much of a pack is needed: ``live`` + ``dead`` = ``size`` in bytes.

    A pack without a living object is all dead, its frame included; any other counts its frame as live. ``spoiled``
    counts what is known to be damaged in it and not needed, ``lost`` the damaged objects that are needed all the same:
    nothing else has them.
    """

    pack: str
    size: int
    live: int
    dead: int
    live_objects: int
    objects: int
    written_at: float
    spoiled: int = 0
    lost: int = 0


class Finding(msgspec.Struct, frozen=True):
    """Something wrong in the store.

    ``pack`` names the pack ("" when none is to blame), ``objects`` the ids that cannot be read from it, ``problem``
    says what is wrong, ``lost`` are those of the objects that cannot be read from anywhere else either.
    """

    pack: str
    objects: tuple[bytes, ...]
    problem: str
    lost: tuple[bytes, ...] = ()


class CodecUse(msgspec.Struct, frozen=True):
    """What a codec made: how many objects, their bytes before (``raw_bytes``) and as they are stored."""

    codec: str
    objects: int
    raw_bytes: int
    stored_bytes: int


class Taken(msgspec.Struct, frozen=True):
    """What somebody's objects take, each once: ``stored_bytes``, and how much of it nobody else needs.

    ``blocks`` of them are blocks; of these ``mean_chain`` and ``longest_chain`` differences have to be opened to read
    one. ``codecs`` adds up to ``stored_bytes``, the greatest first.
    """

    stored_bytes: int
    unique_bytes: int
    blocks: int
    mean_chain: float
    longest_chain: int
    codecs: tuple[CodecUse, ...]

    @property
    def shared_bytes(self) -> int:
        """How much of it others need as well."""
        return self.stored_bytes - self.unique_bytes
