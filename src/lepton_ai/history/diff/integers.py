"""Integers of 64 bits, compared as what they are: beyond 2⁵³ float64 does not have them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

HALF = 32
"""Bits of each half: differences of halves are exact in int64, and in float64."""


def are(*sides: Array) -> bool:
    """Whether all are integers, and some of 64 bits."""
    return all(one.dtype.kind in "iu" for one in sides) and any(one.dtype.itemsize == 8 for one in sides)


def delta(before: Array, after: Array) -> Array:
    """``after - before`` of integers of any type, each rounded once: exact up to 2⁵³, whatever lies between what."""
    import numpy as np

    (high, low), (higher, lower) = _halves(before), _halves(after)
    found: Array = np.ldexp((higher - high).astype(np.float64), HALF) + (lower - low)
    return found


def unlike(before: Array, after: Array, wide: tuple[Array, Array]) -> Array | None:
    """Where two types have not the same numbers; None where no integers of 64 bits are compared with numbers.

    ``wide`` are both as float64 or complex128.
    """
    if are(before, after):
        apart: Array = delta(before, after) != 0
        return apart
    for side, floats in ((before, wide[1]), (after, wide[0])):
        if are(side) and floats.dtype.kind == "f":
            return _unlike_floats(side, floats)
    return None


def _unlike_floats(integers: Array, floats: Array) -> Array:
    """Also where rounding would make them the same."""
    import numpy as np

    alike = integers.astype(np.float64) == floats
    end = 2.0**63 if integers.dtype.kind == "i" else 2.0**64
    large = alike & (abs(floats) >= 2.0**53)
    alike[large] = floats[large] < end
    inside = large & alike
    alike[inside] = floats[inside].astype(integers.dtype) == integers[inside]
    found: Array = np.logical_not(alike)
    return found


def _halves(array: Array) -> tuple[Array, Array]:
    """The upper bits with the sign, and the lower ones."""
    import numpy as np

    wide = array.astype(np.int64 if array.dtype.kind == "i" else np.uint64, copy=False)
    low = wide & wide.dtype.type((1 << HALF) - 1)
    return (wide >> wide.dtype.type(HALF)).astype(np.int64), low.astype(np.int64)
