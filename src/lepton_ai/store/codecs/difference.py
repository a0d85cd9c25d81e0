"""Difference to a base of equal length: bit patterns as integers, subtracted; zigzag, byte planes.

For numbers of ``b`` bits, modulo ``2**b``, ``x`` of the block and ``y`` of the base at the same place::

    d = x - y        z = (d << 1) ^ (d >>arithmetic (b - 1))        data = planes of z · rest of plain, as in planes.py

Fine-tuning moves a weight by few units in the last place, so ``d`` is small and its high planes are empty. Plain
subtraction is 11-25 % smaller than XOR on really fine-tuned weights, and it is symmetric: ``y = x - d``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.planes import decode_planes, encode_planes, numbers

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


class Difference:
    """Subtraction + zigzag + byte planes + zstd."""

    name = "difference"
    number = 3
    version = 1
    needs_base = True

    def encode(self, plain: Bytes, element: Element, base: Bytes | None, /) -> bytes | None:
        """The planes of the difference; None without a base of equal length."""
        if base is None or len(base) != len(plain):
            return None
        new, old = numbers(plain, element.width), numbers(base, element.width)
        return encode_planes(moved(new, old), plain[new.nbytes :])

    def decode(
        self, data: Bytes, _version: int, element: Element, base: Bytes | None, plain_length: int, /
    ) -> memoryview:
        """The base plus the difference."""
        if base is None or len(base) != plain_length:
            raise Damaged("a difference and its base are of different length")
        result, values = decode_planes(data, element.width, plain_length)
        unmoved(values, numbers(base, element.width))
        return result.data


def moved(new: Array, old: Array) -> Array:
    """Zigzag of ``new - old``, modulo the width of the numbers."""
    import numpy as np

    change = new - old
    width = change.dtype.itemsize
    sign = change.view(f"<i{width}") >> (8 * width - 1)
    np.left_shift(change, 1, out=change)
    np.bitwise_xor(change, sign.view(change.dtype), out=change)
    return change


def unmoved(values: Array, old: Array) -> Array:
    """What :func:`moved` made ``values`` of; overwrites them."""
    import numpy as np

    sign = values & 1
    np.negative(sign, out=sign)
    np.right_shift(values, 1, out=values)
    np.bitwise_xor(values, sign, out=values)
    np.add(values, old, out=values)
    return values


CODEC = Difference()
