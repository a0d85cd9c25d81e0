"""A version's tensors as elements: readable a part at a time, and comparable by their blocks without reading any."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Tensor
from lepton_ai.formats.encodings.dtypes import ITEMSIZE, dtype_of
from lepton_ai.history.held import Held, Piece, Stored
from lepton_ai.history.reading import Reader, decoded
from lepton_ai.types import FileEntry

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Range = tuple[int, int]
KEPT = 2
"""Tensors that stay decoded at a time, of those that can only be decoded whole."""


class Tensors(Mapping[str, "Elements"]):
    """The tensors of a version: address → elements, in the order of its files.

    The address is the tensor's name, or ``file:name`` when several files have one of this name. ``lacking`` says of
    those that the version only describes why they cannot be read.
    """

    def __init__(self, source: Reader | Held, entries: Iterable[FileEntry] = ()) -> None:
        """The tensors of a version's ``entries``, by its repository's reader; or of what is held otherwise."""
        held = Stored(source, entries) if isinstance(source, Reader) else source
        there: list[tuple[str, Tensor]] = []
        self.lacking: dict[str, str] = {}
        counts: dict[str, int] = {}
        for path, tensor in held.tensors():
            if lack := held.lack(path, tensor):
                self.lacking.setdefault(tensor.name, f"{path}: it {lack}")
                continue
            there.append((path, tensor))
            counts[tensor.name] = counts.get(tensor.name, 0) + 1
        whole = _Whole()
        self._elements: dict[str, Elements] = {}
        for path, tensor in there:
            address = tensor.name if counts[tensor.name] == 1 else f"{path}:{tensor.name}"
            self._elements.setdefault(address, Elements(held, address, path, tensor, whole))
        self.lacking = {name: why for name, why in self.lacking.items() if name not in counts}

    def __getitem__(self, address: str) -> Elements:
        return self._elements[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    @property
    def nbytes(self) -> int:
        """Bytes that all of them take in their files."""
        return sum(elements.nbytes for elements in self.values())

    @property
    def bytes_read(self) -> int:
        """Bytes of the files that were asked for."""
        return sum(elements.bytes_read for elements in self.values())


class Elements:
    """The elements of one tensor in C order. Methods may be called from any thread.

    ``path`` is its file's, ``tensor`` how it is written there. ``bytes_read`` counts what was asked for.
    """

    def __init__(self, held: Held, address: str, path: str, tensor: Tensor, whole: _Whole) -> None:
        self.held, self._whole = held, whole
        self.address, self.path, self.tensor = address, path, tensor
        self.bytes_read = 0
        self.decoding = threading.Lock()
        """Held while it is decoded: two that ask for parts of one tensor shall not both do it."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Elements {self.address} {self.tensor.dtype} {self.tensor.shape}>"

    @property
    def name(self) -> str:
        """The tensor's name in its file."""
        return self.tensor.name

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in its file."""
        return self.tensor.nbytes

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The array's shape; of a type of the format's own ("gguf.Q4_K"), which comes as uint8, (bytes,)."""
        if "." not in self.tensor.dtype:
            return self.tensor.shape
        return (self.nbytes,) if self.plain else tuple(self._decoded().shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The elements' type, of numpy or ml_dtypes."""
        return dtype_of("uint8" if "." in self.tensor.dtype else self.tensor.dtype)

    @cached_property
    def plain(self) -> bool:
        """Whether its bytes are the elements one after the other, so that a part can be read for itself."""
        tensor = self.tensor
        if tensor.encoding != "raw" or {**_PLAIN, **tensor.args} != _PLAIN:
            return False
        return "." in tensor.dtype or tensor.nbytes == math.prod(tensor.shape) * ITEMSIZE.get(tensor.dtype, 0)

    def part(self, start: int, stop: int) -> Array:
        """Elements ``start`` … ``stop`` (0 ≤ start ≤ stop ≤ size), flat, of the tensor's type; not to be written to.

        Raises:
            Unsupported: it is written in a way that cannot be decoded here.
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        import numpy as np

        if not self.plain:
            return self._decoded().reshape(-1)[start:stop]
        width = self.dtype.itemsize
        data = self._bytes(start * width, (stop - start) * width)
        return np.frombuffer(data, np.uint8).view(self.dtype)

    def joined(self, start: int, stop: int, blocks: Mapping[bytes, bytes | memoryview]) -> Array:
        """As :meth:`part` of a plain tensor, out of the blocks that its :meth:`covering` pieces are of."""
        import numpy as np

        parts = [memoryview(blocks[id_])[at : at + length] for id_, at, length in self.covering(start, stop)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._count(len(data))
        return np.frombuffer(data, np.uint8).view(self.dtype)

    def covering(self, start: int, stop: int) -> list[Piece]:
        """The pieces that elements ``start`` … ``stop`` of a plain tensor are made of."""
        width = self.dtype.itemsize
        return list(_within(self.pieces, start * width, stop * width))

    def array(self) -> Array:
        """All of it in its shape, for tensors that are known to be small."""
        return self.part(0, self.size).reshape(self.shape)

    def same_as(self, other: Elements) -> bool:
        """Whether both are known to be equal, by what they are made of; nothing is read. False: they may differ."""
        return self._written_as(other) and self.pieces == other.pieces

    def differing(self, other: Elements) -> list[Range]:
        """The elements (start, stop) that lie in blocks which differ; all where parts cannot be compared, or read.

        Raises:
            ValueError: the other has another type or number of elements.
        """
        if (self.dtype, self.size) != (other.dtype, other.size):
            raise ValueError(f"{self!r} is compared with {other!r}")
        if not self.size or self.same_as(other):
            return []
        if not (self.plain and other.plain):
            return [(0, self.size)]
        width, found = self.dtype.itemsize, list[Range]()
        for start, stop in _unlike(self.pieces, other.pieces):
            first, last = start // width, min(-(-stop // width), self.size)
            if found and first <= found[-1][1]:
                found[-1] = (found[-1][0], last)
            else:
                found.append((first, last))
        return found

    @cached_property
    def pieces(self) -> list[Piece]:
        """Which parts of which blocks its bytes are made of, in order."""
        return [piece for extent in self.tensor.extents for piece in self.held.pieces(self.path, extent)]

    def _written_as(self, other: Elements) -> bool:
        mine, its = self.tensor, other.tensor
        return (mine.dtype, mine.shape, mine.encoding, mine.args) == (
            its.dtype, its.shape, its.encoding, its.args,
        )  # fmt: skip

    def _decoded(self) -> Array:
        def work() -> Array:
            parts = []
            for extent in self.tensor.extents:
                parts.append(self.held.read(self.path, extent, 0, extent.length))
                self._count(extent.length)
            return decoded(self.path, self.tensor, parts)

        return self._whole.get(self, work)

    def _bytes(self, offset: int, length: int) -> bytes:
        """Bytes of the extents, as if they were joined."""
        self._count(length)
        parts = []
        for extent in self.tensor.extents:
            if not length:
                break
            amount = min(length, extent.length - offset)
            if amount > 0:
                parts.append(self.held.read(self.path, extent, offset, amount))
                offset, length = 0, length - amount
            else:
                offset -= extent.length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _count(self, amount: int) -> None:
        with self._lock:
            self.bytes_read += amount


_PLAIN = {"byteorder": "little", "order": "C", "packed": False}


class _Whole:
    """The tensors that were decoded whole last."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Elements, Array]] = {}
        self._lock = threading.Lock()

    def get(self, elements: Elements, work: Callable[[], Array]) -> Array:
        with elements.decoding:
            with self._lock:
                found = self._kept.pop(id(elements), None)
                while len(self._kept) >= KEPT:
                    del self._kept[next(iter(self._kept))]
            array = work() if found is None else found[1]
            with self._lock:
                self._kept[id(elements)] = elements, array
        return array


def _within(pieces: list[Piece], start: int, stop: int) -> Iterator[Piece]:
    """The pieces, or parts of them, that are the bytes ``start`` … ``stop`` of all."""
    at = 0
    for id_, begin, length in pieces:
        first, last = max(start - at, 0), min(stop - at, length)
        if first < last:
            yield Piece(id_, begin + first, last - first)
        at += length
        if at >= stop:
            break


def _unlike(ours: list[Piece], theirs: list[Piece]) -> Iterator[Range]:
    """The bytes at which two lists of pieces of the same length together are not the same parts of the same blocks."""
    places = {}
    at = 0
    for piece in theirs:
        places[at] = piece
        at += piece.length
    at = 0
    for piece in ours:
        if places.get(at) != piece:
            yield at, at + piece.length
        at += piece.length
