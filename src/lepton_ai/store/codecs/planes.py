"""Byte planes: all lowest bytes of the numbers, then all second ones …, each plane coded by itself with zstd.

The high bytes of a tensor's numbers (sign and exponent) resemble each other and the low ones do not; apart they are
coded well, mixed they are not. For numbers of ``w`` bytes, ``n = length // w`` of them::

    data = size_0 … size_{w-1} (u32 each) · coded plane_0 · … · coded plane_{w-1} · plain[n·w:]
    plane_k[i] = plain[i·w + k]

A coded plane is a zstd frame of ``n`` bytes, or the ``n`` bytes themselves when its size is ``n``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.zstd import PLANES as LEVEL
from lepton_ai.store.codecs.zstd import compress, decompress

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

WIDTHS = (1, 2, 4, 8)


def numbers(data: Bytes, width: int) -> Array:
    """``data`` as little-endian unsigned integers of ``width`` bytes; a rest that fills none is left out.

    Raises:
        Damaged: there are no integers of this width.
    """
    import numpy as np

    if width not in WIDTHS:
        raise Damaged(f"numbers of {width} bytes are not known")
    return np.frombuffer(data, dtype=f"<u{width}", count=len(data) // width)


def encode_planes(values: Array, rest: Bytes) -> bytes:
    """Code the byte planes of unsigned integers, lowest first; the rest follows as it is."""
    import numpy as np

    width, count = values.dtype.itemsize, len(values)
    plane = np.empty(count, dtype=np.uint8)
    parts = [b""]
    for k in range(width):
        np.right_shift(values, 8 * k, out=plane, dtype=values.dtype, casting="unsafe")
        coded = compress(plane.data, LEVEL)
        parts.append(coded if len(coded) < count else plane.tobytes())
    parts[0] = struct.pack(f"<{width}I", *map(len, parts[1:]))
    return b"".join((*parts, rest))


def decode_planes(data: Bytes, width: int, length: int) -> tuple[Array, Array]:
    """The ``length`` bytes that :func:`encode_planes` made ``data`` of, and the numbers in them, both writable.

    Raises:
        Damaged: that did not make it.
    """
    import numpy as np

    result = np.empty(length, dtype=np.uint8)
    values, view = numbers(result.data, width), memoryview(data)
    count, rest = len(values), length % width
    if len(view) < 4 * width:
        raise Damaged("the table of the planes is cut")
    sizes = struct.unpack_from(f"<{width}I", view)
    if 4 * width + sum(sizes) + rest != len(view):
        raise Damaged("the planes are not as long as their table says")
    end = len(view) - rest
    result[length - rest :] = np.frombuffer(view[end:], dtype=np.uint8)
    for k in range(width - 1, -1, -1):
        coded = view[end - sizes[k] : end]
        end -= sizes[k]
        plane = np.frombuffer(coded if len(coded) == count else decompress(coded, count), dtype=np.uint8)
        if k == width - 1:
            np.copyto(values, plane)
        else:
            np.left_shift(values, 8, out=values)
            np.bitwise_or(values, plane, out=values)
    return result, values


class Planes:
    """Byte planes + zstd."""

    name = "planes"
    number = 2
    version = 1
    needs_base = False

    def encode(self, plain: Bytes, element: Element, _base: Bytes | None, /) -> bytes:
        """Every plane by itself."""
        values = numbers(plain, element.width)
        return encode_planes(values, plain[values.nbytes :])

    def decode(
        self, data: Bytes, _version: int, element: Element, _base: Bytes | None, plain_length: int, /
    ) -> memoryview:
        """The numbers, joined from their planes."""
        return decode_planes(data, element.width, plain_length)[0].data


CODEC = Planes()
