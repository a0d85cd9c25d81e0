"""The chunks of a chunked tensor with new elements: cut out of them, then filtered as the old ones were."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Source, Tensor, check_range
from lepton_ai.formats.encodings.chunked import fletcher32, unfiltered
from lepton_ai.formats.encodings.dtypes import ITEMSIZE
from lepton_ai.formats.splice.kept import LAST, Kept

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SLAB = 64 << 20
"""Bytes of rows that are read together at most; beyond, runs are read one by one."""


class Boxes:
    """The chunks of ``tensor``, by their place among its extents, before and after.

    ``slabs`` keeps the rows of new elements that the chunks beside each other are cut from.
    """

    def __init__(self, source: Source, tensor: Tensor, new: Source, slabs: Kept) -> None:
        self._source, self._tensor, self._new, self._slabs = source, tensor, new, slabs
        args = tensor.args
        self._chunk: list[int] = args["chunk"]
        self._numbers: Sequence[int] = args.get("numbers", range(len(tensor.extents)))
        self._filters: list[list[Any]] = args.get("filters", [])
        self._skipped: list[int] = args.get("skipped", [])
        self._width = ITEMSIZE[tensor.dtype]
        self._counts = [-(-extent // step) for extent, step in zip(tensor.shape, self._chunk, strict=True)]

    def old(self, number: int) -> bytes:
        """The elements of a chunk as they are in the file now, with what lies beyond the array."""
        extent = self._tensor.extents[number]
        data = self._source.read(extent.offset, extent.length)
        size = math.prod(self._chunk) * self._width
        return unfiltered(self._tensor, data, self._mask(number), size)

    def new(self, number: int, old: bytes) -> bytes:
        """The same with the new elements in them."""
        import numpy as np

        box = np.frombuffer(bytearray(old), f"V{self._width}").reshape(self._chunk)
        start = self._start(self._numbers[number])
        extents = [
            min(step, extent - first)
            for step, extent, first in zip(self._chunk, self._tensor.shape, start, strict=True)
        ]
        elements = self._swapped(self._cut(start, extents))
        box[tuple(slice(0, extent) for extent in extents)] = elements.view(box.dtype).reshape(extents)
        return box.tobytes()

    def filtered(self, number: int, data: bytes) -> bytes:
        """A chunk's elements as they are stored."""
        mask = self._mask(number)
        for place, (name, *values) in enumerate(self._filters):
            if mask >> place & 1:
                continue
            if name == "deflate":
                data = zlib.compress(data, values[0] if values else 6)
            elif name == "shuffle":
                data = _shuffled(data, values[0] if values else 1)
            else:
                data += fletcher32(data).to_bytes(4, "little")
        return data

    def _mask(self, number: int) -> int:
        return self._skipped[number] if self._skipped else 0

    def _start(self, number: int) -> list[int]:
        start = []
        for count, step in zip(reversed(self._counts), reversed(self._chunk), strict=True):
            number, coordinate = divmod(number, count)
            start.append(coordinate * step)
        return start[::-1]

    def _swapped(self, elements: Array) -> Array:
        import numpy as np

        width = self._width
        if self._tensor.args.get("byteorder") != "big" or width == 1:
            return elements
        width = width // 2 if self._tensor.dtype.startswith("complex") else width
        return np.ascontiguousarray(elements.reshape(-1, width)[:, ::-1]).reshape(-1)

    def _cut(self, start: list[int], extents: list[int]) -> Array:
        """The bytes of the new elements of a box."""
        import numpy as np

        shape, width = self._tensor.shape, self._width
        row = math.prod(shape[1:]) * width
        if row * extents[0] <= SLAB:
            rows = range(start[0], start[0] + extents[0])
            data = self._slabs.get(self, rows)
            if data is None:
                data = self._new.read(rows.start * row, len(rows) * row)
                self._slabs.put(self, rows, data)
            slab = np.frombuffer(data, f"V{width}").reshape(len(rows), *shape[1:])
            inner = tuple(slice(a, a + n) for a, n in zip(start[1:], extents[1:], strict=True))
            return np.frombuffer(slab[(slice(None), *inner)].tobytes(), np.uint8)
        axis = len(shape)
        while axis > 1 and extents[axis - 1] == shape[axis - 1]:
            axis -= 1
        steps = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
        run = math.prod(extents[axis - 1 :]) * width
        parts = []
        for where in itertools.product(*(range(extent) for extent in extents[: axis - 1])):
            place = [a + b for a, b in zip(start, [*where, *[0] * (len(shape) - axis + 1)], strict=True)]
            at = sum(a * step for a, step in zip(place, steps, strict=True)) * width
            parts.append(self._new.read(at, run))
        return np.frombuffer(b"".join(parts), np.uint8)


class Chunk:
    """A Source of one chunk as it is stored; made when it is read."""

    def __init__(self, boxes: Boxes, number: int, size: int) -> None:
        self._boxes, self._number, self.size = boxes, number, size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        data: bytes | None = LAST.get(self, 0)
        if data is None:
            old = self._boxes.old(self._number)
            data = self._boxes.filtered(self._number, self._boxes.new(self._number, old))
            if length < self.size:
                LAST.put(self, 0, data)
        return data[offset : offset + length]


def _shuffled(data: bytes, itemsize: int) -> bytes:
    """Byte n of every element in plane n; a rest that fills no element at the end."""
    import numpy as np

    count = len(data) // itemsize if itemsize else 0
    if itemsize <= 1 or count <= 1:
        return data
    whole = count * itemsize
    return np.frombuffer(data, np.uint8, whole).reshape(count, itemsize).T.tobytes() + data[whole:]
