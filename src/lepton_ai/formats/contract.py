"""What a reader of a file format takes and gives.

A reader looks at one file (and, for formats that spread over several, at its neighbours) and says where the
tensors' bytes sit. It never changes, unpickles or executes anything, and reads headers only: the bytes of
the tensors are none of its business. Whatever it cannot understand it refuses with :class:`Malformed`; the
file is then kept as opaque bytes.

This module imports neither numpy nor anything of a framework: everyday commands import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

MAX_TENSORS = 1_000_000
"""A file that claims more tensors than this is taken for a lie."""

MAX_DIMENSIONS = 64


class Malformed(Exception):
    """The bytes are not what the format promises: cut, lying, hostile, or a variant that is unknown."""


class Segment(msgspec.Struct, frozen=True):
    """A run of bytes of one file: ``tensor`` names whose bytes they are, None means opaque.

    ``dtype`` is the element type as a hint for the codec ("float32", "bfloat16", …; "bytes" when unknown).
    A name occurs on at most one segment of a file; further runs of one tensor are named ``name#1``, ``name#2`` …
    """

    offset: int
    length: int
    tensor: str | None = None
    dtype: str = "bytes"


class Extent(msgspec.Struct, frozen=True):
    """Where bytes of a tensor sit: ``path`` is relative to the reader's file's folder, "" is that file."""

    offset: int
    length: int
    path: str = ""


class Tensor(msgspec.Struct, frozen=True):
    """One named tensor: how to turn the bytes of its extents into an array.

    ``dtype`` is a name of numpy or ml_dtypes ("float32", "bfloat16", "float8_e4m3fn", "int4", "bool", …) or one
    of the format's own ("gguf.Q4_K"). ``shape`` is in elements. ``encoding`` names a decoder of
    :mod:`lepton_ai.formats.encodings`; "raw" means: the extents, joined, are the elements in C order,
    little-endian. ``args`` are that decoder's arguments (plain JSON values: they are stored).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    extents: tuple[Extent, ...]
    encoding: str = "raw"
    args: dict[str, Any] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes in its file(s)."""
        return sum(extent.length for extent in self.extents)


class Layout(msgspec.Struct, frozen=True):
    """What a reader found.

    ``segments`` partition the file exactly, in order. ``companions`` does the same for neighbours whose bytes this
    file describes (ONNX external data, SavedModel shards), by path relative to this file's folder. ``note`` is for
    people: why a file is kept as opaque bytes.
    """

    format: str
    segments: tuple[Segment, ...]
    tensors: tuple[Tensor, ...] = ()
    companions: dict[str, tuple[Segment, ...]] = {}
    note: str = ""


class Source(Protocol):
    """Bytes that can be read at any place."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``.

        Raises:
            Malformed: the range is negative or not wholly inside.
        """


class Format(Protocol):
    """A reader of one file format."""

    @property
    def name(self) -> str:
        """The format's name: "safetensors", "onnx" …"""

    def claims(self, path: str, head: bytes) -> bool:
        """Whether a file looks like this format, judged by its path and its first bytes (at most 4096)."""

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:
        """Where the tensors of ``path`` sit.

        ``folder`` holds every file of the version by its path (POSIX, relative), ``path`` among them.

        Raises:
            Malformed: the file is not what it claims to be.
        """


@runtime_checkable
class Expecting(Protocol):
    """A reader that knows its files by their names as well: one that no reader takes is told of.

    A reader without it is silent about names, as those must be whose suffix many others use (.bin, .json, .txt).
    """

    def expects(self, path: str, head: bytes) -> bool:
        """Whether a file of this name, with these first bytes (at most 4096), ought to be of this format."""


class BytesSource:
    """A Source over bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return bytes(self._data[offset : offset + length])


class PartSource:
    """A Source that is a window of another one: a member of a stored zip."""

    def __init__(self, whole: Source, offset: int, length: int) -> None:
        check_range(offset, length, whole.size)
        self._whole, self.offset, self._length = whole, offset, length

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._length

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset`` of the window."""
        check_range(offset, length, self._length)
        return self._whole.read(self.offset + offset, length)


def check_range(offset: int, length: int, size: int) -> None:
    """Raise Malformed unless ``offset … offset + length`` lies within ``size``."""
    if offset < 0 or length < 0 or offset + length > size:
        raise Malformed(f"bytes {offset}…{offset + length} lie outside of {size}")


def partition(size: int, tensors: Iterable[Segment]) -> tuple[Segment, ...]:
    """Sort the tensors' segments and fill what is between them with opaque ones, so that they cover ``size`` bytes.

    Empty segments are dropped. The result satisfies the first law (DESIGN §2).

    Raises:
        Malformed: two segments overlap, share a name, or one lies outside of the file.
    """
    result: list[Segment] = []
    names: set[str] = set()
    end = 0
    for segment in sorted((s for s in tensors if s.length), key=lambda s: s.offset):
        check_range(segment.offset, segment.length, size)
        if segment.offset < end:
            raise Malformed(f"the bytes of {segment.tensor!r} overlap with another tensor's")
        if segment.tensor is not None:
            if segment.tensor in names:
                raise Malformed(f"two runs of bytes are called {segment.tensor!r}")
            names.add(segment.tensor)
        if segment.offset > end:
            result.append(Segment(end, segment.offset - end))
        result.append(segment)
        end = segment.offset + segment.length
    if end < size:
        result.append(Segment(end, size - end))
    return tuple(result)


def check_partition(segments: Iterable[Segment], size: int) -> None:
    """Raise Malformed unless the segments cover ``size`` bytes in order, without gap or overlap."""
    end = 0
    for segment in segments:
        if segment.offset != end or segment.length <= 0:
            raise Malformed(f"segment at {segment.offset} does not continue at {end}")
        end += segment.length
    if end != size:
        raise Malformed(f"segments end at {end}, the file at {size}")
