"""Elements whose bytes are more or fewer from one to the next: varints and decimal text.

An element that stays the same keeps the very bytes in which it was written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from lepton_ai.formats.contract import Extent, Malformed, Source, Tensor, check_range
from lepton_ai.formats.encodings.dtypes import BITS, dtype_of
from lepton_ai.formats.encodings.shapes import count_of
from lepton_ai.formats.encodings.varint import varints
from lepton_ai.formats.splice.bits import pack
from lepton_ai.formats.splice.kept import LAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 49_152
"""Elements that are written together; a multiple of what shares bytes."""

PIECE = 1 << 18
TOKEN = re.compile(rb"[-+0-9.eEnaNifIty]+")


class Blocks(Protocol):
    """Bytes that are made a block at a time, always the same."""

    def lengths(self) -> list[int]:
        """Bytes of each block."""

    def block(self, number: int) -> bytes:
        """Make one."""


class Made:
    """A Source of blocks."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._starts = [0, *accumulate(blocks.lengths())]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._starts[-1]

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        parts, at = [], offset
        while at < offset + length:
            number = bisect_right(self._starts, at) - 1
            block = LAST.get(self, number)
            if block is None:
                block = self._blocks.block(number)
                LAST.put(self, number, block)
            begin = at - self._starts[number]
            parts.append(block[begin : begin + offset + length - at])
            at += len(parts[-1])
        return b"".join(parts)


class Varints:
    """The elements of a "varint" tensor."""

    def __init__(self, source: Source, tensor: Tensor, new: Source) -> None:
        self._source, self._tensor, self._new = source, tensor, new
        self._tag, self._dtype = tensor.args.get("tag"), dtype_of(tensor.dtype)
        self._each = 8 // BITS[tensor.dtype] if tensor.args.get("packed") else 1
        self._runs = list(self._cut(tensor.extents[0]))

    def lengths(self) -> list[int]:
        """Bytes of each block."""
        return [len(self.block(number)) for number in range(len(self._runs))]

    def block(self, number: int) -> bytes:
        """Make one."""
        import numpy as np

        begin, end = self._runs[number]
        data = np.frombuffer(self._source.read(begin, end - begin), np.uint8)
        ends = np.flatnonzero(data < 0x80) + 1
        starts, stood = np.concatenate(([0], ends[:-1])), varints(data)
        if self._tag is not None:
            starts, ends, stood = starts[1::2], ends[1::2], stood[1::2]
        elements = self._elements(number)
        wanted = _wide(elements, self._dtype, shared=self._each > 1, six=BITS.get(self._tensor.dtype) == 6)
        if len(wanted) != len(starts):
            raise Malformed(f"{self._tensor.name!r}: {len(starts)} numbers for {len(wanted)} elements")
        same = self._low(stood) == self._low(wanted)
        return _written(data, starts, ends, same, wanted, self._tag)

    def _elements(self, number: int) -> Array:
        import numpy as np

        width, first = self._dtype.itemsize, number * BLOCK
        count = min(BLOCK, count_of(self._tensor.shape) - first)
        data = np.frombuffer(self._new.read(first * width, count * width), np.uint8)
        return pack(data, self._tensor.dtype) if self._each > 1 else data

    def _low(self, values: Array) -> Array:
        """The bits of the numbers that count for an element."""
        import numpy as np

        if self._dtype.kind == "b":
            return np.asarray(values != 0)
        bits = 8 if self._each > 1 else BITS.get(self._tensor.dtype, 8 * self._dtype.itemsize)
        return np.asarray(values & np.uint64((1 << bits) - 1))

    def _cut(self, extent: Extent) -> Iterator[tuple[int, int]]:
        """Where the varints of each block lie."""
        import numpy as np

        each = BLOCK // self._each * (1 if self._tag is None else 2)
        begin, seen = extent.offset, 0
        end = extent.offset + extent.length
        for at in range(extent.offset, end, PIECE):
            data = np.frombuffer(self._source.read(at, min(PIECE, end - at)), np.uint8)
            ends = np.flatnonzero(data < 0x80)
            for index in range(each - seen - 1, len(ends), each):
                yield begin, at + int(ends[index]) + 1
                begin = at + int(ends[index]) + 1
            seen = (seen + len(ends)) % each
        if begin < end:
            yield begin, end


def _wide(elements: Array, dtype: np.dtype[Any], *, shared: bool, six: bool) -> Array:
    """The number that is written for each element: whole numbers with their sign, others as their bits."""
    import numpy as np

    if shared or six:
        return np.bitwise_and(elements, 0xFF if shared else 0x3F).astype(np.uint64)
    if dtype.kind == "b":
        return np.not_equal(elements, 0).astype(np.uint64)
    if dtype.kind == "i":
        return elements.view(dtype).astype(np.int64).view(np.uint64)
    return elements.view(f"u{dtype.itemsize}").astype(np.uint64)


def _written(data: Array, starts: Array, ends: Array, same: Array, wanted: Array, tag: int | None) -> bytes:
    """The varints one after the other: as they stood where ``same``, else the shortest that say ``wanted``."""
    import numpy as np

    fresh = np.ones(len(wanted), np.int64)
    for place in range(1, 10):
        fresh += wanted >> np.uint64(7 * place) != 0
    lengths = np.where(same, ends - starts, fresh)
    ahead = 0 if tag is None else 1
    places = np.cumsum(lengths + ahead) - lengths
    result = np.empty(int((lengths + ahead).sum()), np.uint8)
    if tag is not None:
        result[places - 1] = tag
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        bits = (wanted[longer] >> np.uint64(7 * place)).astype(np.uint8) & 0x7F
        more = np.where(lengths[longer] > place + 1, 0x80, 0).astype(np.uint8)
        old = data[np.minimum(starts[longer] + place, len(data) - 1)]
        result[places[longer] + place] = np.where(same[longer], old, bits | more)
    return result.tobytes()


class Texts:
    """The elements of a "text" tensor, in one block: such a text is short (readers see to that)."""

    def __init__(self, source: Source, tensor: Tensor, new: Source) -> None:
        self._source, self._tensor, self._new = source, tensor, new

    def lengths(self) -> list[int]:
        """Bytes of the text."""
        return [len(self.block(0))]

    def block(self, number: int) -> bytes:  # noqa: ARG002  (there is one)
        """Make it."""
        import numpy as np

        dtype, (extent,) = dtype_of(self._tensor.dtype), self._tensor.extents
        text = self._source.read(extent.offset, extent.length)
        wanted = np.frombuffer(self._new.read(0, self._new.size), dtype)
        kind, read = (np.float64, float) if dtype.kind == "f" else (np.int64, int)
        with np.errstate(over="ignore", under="ignore"):
            stood = np.array([read(token) for token in TOKEN.findall(text)], kind).astype(dtype)
        if len(stood) != len(wanted):
            raise Malformed(f"{self._tensor.name!r}: {len(stood)} numbers for {len(wanted)} elements")
        width = f"u{dtype.itemsize}"
        same = iter((stood.view(width) == wanted.view(width)) | (np.isnan(stood) & np.isnan(wanted)))
        values = iter(wanted)
        json = bool(self._tensor.args.get("separator"))

        def written(found: re.Match[bytes]) -> bytes:
            value = next(values)
            return found[0] if next(same) else _text(value, json=json)

        return TOKEN.sub(written, text)


def _text(value: Any, *, json: bool) -> bytes:
    """The shortest text that is read as this number: 5E-1 in JSON, as XGBoost writes it, 0.5 elsewhere."""
    import numpy as np

    if value.dtype.kind != "f":
        return str(int(value)).encode()
    if not np.isfinite(value):
        word = "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return (word if json else word.removesuffix("inity").lower()).encode()
    text = np.format_float_scientific(value, unique=True, trim="-", exp_digits=1)
    if np.float64(text).astype(value.dtype) != value:  # rounded twice, by way of float64, it is another
        text = np.format_float_scientific(np.float64(value), unique=True, trim="-", exp_digits=1)
    return (text.replace("e+", "e").replace("e", "E") if json else repr(float(text))).encode()
