"""New elements laid over the bytes of a run, a band at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lepton_ai.formats.contract import Source, Tensor, check_range
from lepton_ai.formats.encodings.dtypes import BITS
from lepton_ai.formats.encodings.shapes import count_of
from lepton_ai.formats.splice.bits import pack
from lepton_ai.formats.splice.kept import LAST
from lepton_ai.formats.splice.places import Places, Run, places_of
from lepton_ai.formats.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

BAND = 32 << 20
"""Bytes that are looked at together."""

MARGIN = 64
"""More than any element has: one that a band's border cuts is seen whole from both sides."""


class Layer(Protocol):
    """One tensor's elements, and which bytes are theirs."""

    @property
    def start(self) -> int:
        """Where its bytes begin."""

    @property
    def end(self) -> int:
        """Behind them."""

    def lay(self, band: Array, low: int, new: Source) -> None:
        """Put the elements that lie within into ``band``, the bytes from ``low`` on."""

    def shown(self, band: Array, low: int, new: Source) -> bool:
        """Whether they stand there."""

    def mark(self, band: Array, low: int) -> None:
        """Set the bytes in which they lie to 1."""


def layer_of(tensor: Tensor) -> Layer:
    """The layer of a "raw" or "strided" tensor that has elements."""
    (extent,) = tensor.extents
    if tensor.args.get("packed"):
        return _Shared(extent.offset, extent.offset + extent.length, tensor.dtype, count_of(tensor.shape))
    places = places_of(tensor, extent.offset)
    return Spread(extent.offset, extent.offset + extent.length, places)


class Spread(msgspec.Struct, frozen=True):
    """Elements of whole bytes at places of their own."""

    start: int
    end: int
    places: Places

    def lay(self, band: Array, low: int, new: Source) -> None:
        """Put the elements that lie within into ``band``."""
        places = self.places
        if low <= places.start and places.end <= low + len(band):
            self._view(band, low)[...] = self._all(new)
            return
        for target, elements in self._parts(band, low, new):
            target[...] = elements

    def shown(self, band: Array, low: int, new: Source) -> bool:
        """Whether they stand there."""
        places = self.places
        if low <= places.start and places.end <= low + len(band):
            return self._view(band, low).tobytes() == self._all(new).tobytes()
        return all(bool((target == elements).all()) for target, elements in self._parts(band, low, new))

    def mark(self, band: Array, low: int) -> None:
        """Set the bytes in which they lie to 1."""
        for run in self.places.runs(low, low + len(band)):
            self._rows(band, low, run)[...] = 1

    def _view(self, band: Array, low: int) -> Array:
        import numpy as np

        places = self.places
        plain = np.dtype(f"V{places.width}")  # moved without being looked at
        return np.ndarray(places.shape, plain, band.data, places.start - low, places.steps)

    def _all(self, new: Source) -> Array:
        import numpy as np

        rows = self._ordered(np.frombuffer(new.read(0, new.size), np.uint8))
        return rows.view(f"V{self.places.width}").reshape(self.places.shape)

    def _parts(self, band: Array, low: int, new: Source) -> Iterator[tuple[Array, Array]]:
        import numpy as np

        width, window = self.places.width, Window(new)
        for run in self.places.runs(low, low + len(band)):
            read = new.read if run.times * width >= 1 << 16 else window.read
            data = np.frombuffer(read(run.number * width, run.times * width), np.uint8)
            yield self._rows(band, low, run), self._ordered(data).reshape(-1, width)

    def _rows(self, band: Array, low: int, run: Run) -> Array:
        import numpy as np

        shape, steps = (run.times, self.places.width), (run.step, 1)
        return np.ndarray(shape, np.uint8, band.data, run.position - low, steps)

    def _ordered(self, data: Array) -> Array:
        import numpy as np

        swapped = self.places.swapped
        return np.ascontiguousarray(data.reshape(-1, swapped)[:, ::-1]).reshape(-1) if swapped else data


class _Shared(msgspec.Struct, frozen=True):
    """Elements below a byte."""

    start: int
    end: int
    dtype: str
    count: int

    def lay(self, band: Array, low: int, new: Source) -> None:
        """Put the elements that lie within into ``band``; bits behind the last one stay."""
        self._each(band, low, new)

    def shown(self, band: Array, low: int, new: Source) -> bool:
        """Whether they stand there."""
        copy = band.copy()
        self._each(copy, low, new)
        return bool((copy == band).all())

    def mark(self, band: Array, low: int) -> None:
        """Set the bytes in which they lie to 1."""
        band[max(self.start - low, 0) : max(self.end - low, 0)] = 1

    def _each(self, band: Array, low: int, new: Source) -> None:
        import numpy as np

        bits = BITS[self.dtype]
        first = max(low - self.start, 0) // 3 * 3  # three bytes hold a whole number of elements, of any width
        stop = min(low + len(band), self.end) - self.start
        if stop <= first:
            return
        begin, end = first * 8 // bits, min(-(-stop * 8 // bits), self.count)
        shared = pack(np.frombuffer(new.read(begin, end - begin), np.uint8), self.dtype)[: stop - first]
        at = self.start + first - low
        shared, at = (shared[-at:], 0) if at < 0 else (shared, at)
        left = self.count * bits % 8
        if left and stop == self.end - self.start:
            shared[-1] |= band[at + len(shared) - 1] >> left << left
        band[at : at + len(shared)] = shared


class Laid:
    """The bytes ``start … end`` of ``base`` with layers over them, the later ones on top."""

    def __init__(self, base: Source, layers: Sequence[tuple[Layer, Source]]) -> None:
        self._base, self._layers = base, layers
        self.start = min(layer.start for layer, _ in layers)
        self._end = max(layer.end for layer, _ in layers)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._end - self.start

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        parts, at = [], offset
        while at < offset + length:
            number, within = divmod(at, BAND)
            band = LAST.get(self, number)
            if band is None:
                made, margin = self._banded(self.start + number * BAND)
                band = made[margin : margin + BAND].tobytes()
                LAST.put(self, number, band)
            parts.append(band[within : within + offset + length - at])
            at += len(parts[-1])
        return b"".join(parts)

    def differing(self) -> int | None:
        """The number of a layer that does not come out as it went in: another lies over it, or it over itself."""
        for low in range(self.start, self._end, BAND):
            band, margin = self._banded(low)
            for number, (layer, new) in enumerate(self._layers):
                if not layer.shown(band, low - margin, new):
                    return number
        return None

    def _banded(self, low: int) -> tuple[Array, int]:
        """The band from ``low`` on with its margins, and how wide the one before it is."""
        import numpy as np

        begin, end = max(low - MARGIN, self.start), min(low + BAND + MARGIN, self._end)
        band = np.frombuffer(bytearray(self._base.read(begin, end - begin)), np.uint8)
        for layer, new in self._layers:
            layer.lay(band, begin, new)
        return band, low - begin


def meet(first: Layer, second: Layer) -> bool:
    """Whether elements of both lie in one byte."""
    import numpy as np

    begin, stop = max(first.start, second.start), min(first.end, second.end)
    for low in range(begin, stop, BAND):
        reach = min(low + BAND, stop) + MARGIN
        masks = [np.zeros(reach - low + MARGIN, np.uint8) for _ in range(2)]
        for mask, layer in zip(masks, (first, second), strict=True):
            layer.mark(mask, low - MARGIN)
        if (masks[0] & masks[1]).any():
            return True
    return False
