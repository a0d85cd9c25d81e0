"""Sparse difference: where few numbers changed, their places and by how much.

Reinforcement learning moves hardly one bfloat16 weight in a hundred. For numbers of ``w`` bytes, ``n = length // w``::

    data = count · gap bytes · coded gap bytes (u32 each) · gaps · planes of the ``count`` changes · plain[n·w:]

A change is as in difference.py, zigzag of the subtraction. The gaps tell how many unchanged numbers lie before each
changed one, in bytes that are added up: 255 means 255 and that the next byte belongs to it. They are a zstd frame, or
as they are when that is no longer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.difference import moved, unmoved
from lepton_ai.store.codecs.planes import decode_planes, encode_planes, numbers
from lepton_ai.store.codecs.zstd import LEVEL, compress, decompress

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST = 0.05
"""The share of changed numbers up to which this codec is worth a try."""

_HEAD = struct.Struct("<III")


class Sparse:
    """Gaps and changes."""

    name = "sparse"
    number = 6
    version = 1
    needs_base = True

    def encode(self, plain: Bytes, element: Element, base: Bytes | None, /) -> bytes | None:
        """None without a base of equal length, and when more than MOST of the numbers changed."""
        if base is None or len(base) != len(plain):
            return None
        import numpy as np

        new, old = numbers(plain, element.width), numbers(base, element.width)
        places = np.flatnonzero(new != old)
        if len(places) > MOST * len(new):
            return None
        gaps = _gaps(places)
        coded = compress(gaps, LEVEL)
        coded = coded if len(coded) < len(gaps) else gaps
        changes = encode_planes(moved(new[places], old[places]), plain[new.nbytes :])
        return b"".join((_HEAD.pack(len(places), len(gaps), len(coded)), coded, changes))

    def decode(
        self, data: Bytes, _version: int, element: Element, base: Bytes | None, plain_length: int, /
    ) -> memoryview:
        """The base, with its changes."""
        if base is None or len(base) != plain_length:
            raise Damaged("a sparse difference and its base are of different length")
        import numpy as np

        if len(data) < _HEAD.size or element.width not in {1, 2, 4, 8}:
            raise Damaged("a sparse difference is cut")
        count, size, length = _HEAD.unpack_from(data)
        rest = plain_length % element.width
        if max(count, size // 2) > plain_length or _HEAD.size + length > len(data):
            raise Damaged("the head of a sparse difference is damaged")
        view = memoryview(data)[_HEAD.size :]
        gaps = view[:length] if length == size else decompress(view[:length], size)
        changes, values = decode_planes(view[length:], element.width, count * element.width + rest)
        result = np.frombuffer(base, np.uint8).copy()
        words = numbers(result.data, element.width)
        places = _places(np.frombuffer(gaps, np.uint8), count, len(words))
        words[places] = unmoved(values, words[places])
        result[plain_length - rest :] = changes[len(changes) - rest :]
        return result.data


def _gaps(places: Array) -> bytes:
    import numpy as np

    gaps = np.diff(places, prepend=-1) - 1
    long = gaps // 255
    result = np.full(int((long + 1).sum()), 255, np.uint8)
    result[np.cumsum(long + 1) - 1] = gaps % 255
    return result.tobytes()


def _places(gaps: Array, count: int, most: int) -> Array:
    import numpy as np

    ends = np.flatnonzero(gaps != 255)
    if len(ends) != count or (len(gaps) and int(ends[-1]) != len(gaps) - 1 if count else len(gaps)):
        raise Damaged("the gaps of a sparse difference are damaged")
    places = np.cumsum(gaps, dtype=np.int64)[ends] + np.arange(count)
    if count and int(places[-1]) >= most:
        raise Damaged("the gaps of a sparse difference lead beyond its end")
    return places


CODEC = Sparse()
