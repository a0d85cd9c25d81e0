"""Difference to a base of equal length: bit patterns as integers, subtracted; zigzag, byte planes.

For numbers of ``b`` bits, modulo ``2**b``, ``x`` of the block and ``y`` of the base at the same place::

    d = x - y        z = (d << 1) ^ (d >>arithmetic (b - 1))        data = planes of z · rest of plain, as in planes.py

Fine-tuning moves a weight by few units in the last place, so ``d`` is small and its high planes are empty. Plain
subtraction is 11-25 % smaller than XOR on really fine-tuned weights, and it is symmetric: ``y = x - d``.
"""

from __future__ import annotations

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.planes import decode_planes, encode_planes, numbers


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
        import numpy as np

        new, old = numbers(plain, element.width), numbers(base, element.width)
        change = new - old
        sign = change.view(f"<i{element.width}") >> (8 * element.width - 1)
        np.left_shift(change, 1, out=change)
        np.bitwise_xor(change, sign.view(change.dtype), out=change)
        return encode_planes(change, plain[new.nbytes :])

    def decode(
        self, data: Bytes, _version: int, element: Element, base: Bytes | None, plain_length: int, /
    ) -> memoryview:
        """The base plus the difference."""
        if base is None or len(base) != plain_length:
            raise Damaged("a difference and its base are of different length")
        import numpy as np

        result, values = decode_planes(data, element.width, plain_length)
        sign = values & 1
        np.negative(sign, out=sign)
        np.right_shift(values, 1, out=values)
        np.bitwise_xor(values, sign, out=values)
        np.add(values, numbers(base, element.width), out=values)
        return result.data


CODEC = Difference()
