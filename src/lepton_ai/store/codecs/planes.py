"""Byte planes: all lowest bytes of the numbers, then all second ones …, then zstd.

The high bytes of a tensor's numbers (sign and exponent) resemble each other and the low ones do not; side by side
they are coded well, mixed they are not. For numbers of ``w`` bytes and ``n = length // w``::

    data = zstd(plane_0 · plane_1 · … · plane_{w-1} · rest),  plane_k[i] = plain[i·w + k],  rest = plain[n·w:]
"""

from __future__ import annotations

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


def split(values: Array, rest: Bytes) -> Array:
    """The byte planes of unsigned integers, lowest first, and the rest behind them, as one array of bytes."""
    import numpy as np

    width, count = values.dtype.itemsize, len(values)
    result = np.empty(count * width + len(rest), dtype=np.uint8)
    planes = result[: count * width].reshape(width, count)
    np.copyto(planes[0], values, casting="unsafe")
    for k in range(1, width):
        np.right_shift(values, 8 * k, out=planes[k], dtype=values.dtype, casting="unsafe")
    result[count * width :] = np.frombuffer(rest, dtype=np.uint8)
    return result


def join(data: Bytes, width: int, into: bytearray) -> Array:
    """Fill ``into`` from planes and rest; the numbers in it, writable.

    Raises:
        Damaged: there are no integers of this width.
    """
    import numpy as np

    values = numbers(into, width)
    count = len(values)
    planes = np.frombuffer(data, dtype=np.uint8, count=count * width).reshape(width, count)
    np.copyto(values, planes[width - 1])
    for k in range(width - 2, -1, -1):
        np.left_shift(values, 8, out=values)
        np.bitwise_or(values, planes[k], out=values)
    into[count * width :] = memoryview(data)[count * width :]
    return values


class Planes:
    """Byte planes + zstd."""

    name = "planes"
    number = 2
    version = 1
    needs_base = False

    def encode(self, plain: Bytes, element: Element, _base: Bytes | None, /) -> bytes:
        """One zstd frame of the planes."""
        values = numbers(plain, element.width)
        return compress(split(values, plain[values.nbytes :]).data, LEVEL)

    def decode(
        self, data: Bytes, _version: int, element: Element, _base: Bytes | None, plain_length: int, /
    ) -> bytearray:
        """The numbers, joined from their planes."""
        result = bytearray(plain_length)
        join(decompress(data, plain_length), element.width, result)
        return result


CODEC = Planes()
