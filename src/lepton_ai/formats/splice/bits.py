"""Elements below a byte that share bytes, lowest bits first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.encodings.dtypes import BITS

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def pack(elements: Array, dtype: str) -> Array:
    """The bytes that ``elements`` (a byte each) share; bits that are left over in the last one are 0."""
    import numpy as np

    bits = BITS[dtype]
    if bits == 6:
        rows = np.unpackbits(elements[:, None], axis=1, count=6, bitorder="little")
        return np.packbits(rows.reshape(-1), bitorder="little")
    each = 8 // bits
    padded = np.zeros(-(-len(elements) // each) * each, np.uint8)
    padded[: len(elements)] = elements & ((1 << bits) - 1)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    shared: Array = np.bitwise_or.reduce(padded.reshape(-1, each) << shifts, axis=1)
    return shared
