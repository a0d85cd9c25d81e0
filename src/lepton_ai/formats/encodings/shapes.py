"""How many elements and bytes a shape asks for, with the limits that a lie runs into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import MAX_DIMENSIONS, Malformed
from lepton_ai.formats.encodings.dtypes import BITS, ITEMSIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_ELEMENTS = 1 << 58
"""Of 16 bytes each they still fit a signed 64-bit length, which is all that numpy can count."""


def count_of(shape: Iterable[int]) -> int:
    """Elements of a shape.

    Raises:
        Malformed: a negative extent, more than 64 dimensions, or more elements than can be addressed.
    """
    extents = tuple(shape)
    if len(extents) > MAX_DIMENSIONS:
        raise Malformed(f"a tensor of {len(extents)} dimensions")
    count, span = 1, 1
    for extent in extents:
        if extent < 0:
            raise Malformed(f"a tensor of extent {extent}")
        count *= extent
        span *= max(extent, 1)
        if span > MOST_ELEMENTS:  # an empty shape with huge other extents overflows numpy too
            raise Malformed(f"a tensor of shape {extents}")
    return count


def nbytes_of(dtype: str, shape: Iterable[int], *, packed: bool = False) -> int:
    """Bytes of raw elements; ``packed``: types below a byte share bytes, otherwise they take one each.

    Raises:
        Malformed: the shape is impossible, or the type unknown.
    """
    count = count_of(shape)
    if dtype in BITS:
        return (count * BITS[dtype] + 7) // 8 if packed else count
    if dtype not in ITEMSIZE:
        raise Malformed(f"element type {dtype!r} is not known here")
    return count * ITEMSIZE[dtype]
