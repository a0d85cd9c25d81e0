"""Files that are nowhere: read from the store, or put together while they are read."""

from __future__ import annotations

import threading
from typing import Any

from lepton_ai.formats.contract import check_range
from lepton_ai.history.elements import Elements
from lepton_ai.history.reading import Reader
from lepton_ai.store.contract import Content

WINDOW = 1 << 20
"""Bytes that are read at a time where little is asked for: blocks are opened as a whole anyway."""
KEPT = 4


class StoredSource:
    """A stored file as a Source. ``bytes_read`` counts what was asked for."""

    def __init__(self, reader: Reader, content: Content) -> None:
        self._reader, self._content = reader, content
        self._windows: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self.bytes_read = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        with self._lock:
            self.bytes_read += length
            if length >= WINDOW:
                return self._reader.read(self._content, offset, length)
            parts, end = [], offset + length
            while offset < end:
                number, start = divmod(offset, WINDOW)
                part = self._window(number)[start : start + end - offset]
                parts.append(part)
                offset += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def _window(self, number: int) -> bytes:
        found = self._windows.pop(number, None)
        if found is None:
            start = number * WINDOW
            found = self._reader.read(self._content, start, min(WINDOW, self.size - start))
            while len(self._windows) >= KEPT:
                del self._windows[next(iter(self._windows))]
        self._windows[number] = found
        return found


class ElementsSource:
    """The elements of a tensor as a Source: little-endian in C order, rounded to another float type where need be."""

    def __init__(self, elements: Elements, dtype: Any) -> None:
        self._elements, self._dtype = elements, dtype
        self._width = int(dtype.itemsize)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._elements.size * self._width

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        first, last = offset // self._width, -(-(offset + length) // self._width)
        data = rounded(self._elements.part(first, last), self._dtype)
        start = offset - first * self._width
        return data[start : start + length]


def rounded(elements: Any, dtype: Any) -> bytes:
    """Elements as bytes of a type, to the nearest, ties to even."""
    import numpy as np

    if elements.dtype != dtype:
        with np.errstate(
            all="ignore"
        ):  # too large for the type becomes infinite, or NaN where it has no infinity
            if elements.dtype == np.float64 and dtype.isbuiltin == 2:  # one of ml_dtypes
                elements = _to_odd(elements)
            elements = elements.astype(dtype)
    return bytes(np.ascontiguousarray(elements).view(np.uint8))


def _to_odd(elements: Any) -> Any:
    """float64 as float32, what falls between two of these as the one with an odd last bit.

    The types of ml_dtypes are reached by way of float32; rounded to even there, a number a little beyond the middle
    would be rounded twice, and wrong. Source: Boldo, Melquiond, Emulation of a FMA and correctly rounded sums, 2008.
    """
    import numpy as np

    near = elements.astype(np.float32)
    bits = near.view(np.int32)
    bits -= np.abs(near) > np.abs(elements)  # towards zero
    bits |= near.astype(np.float64) != elements  # (NaN stays one)
    return near
