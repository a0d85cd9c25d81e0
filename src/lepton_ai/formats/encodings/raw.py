"""Raw elements, one after the other.

Arguments: ``byteorder`` "little" (default) or "big"; ``order`` "C" (default) or "F"; ``packed`` true when two
4-bit elements share a byte, low half first. Numbers of a format's own type ("gguf.…") come out as uint8 of
shape (bytes,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import dtype_of

if TYPE_CHECKING:
    import numpy as np


def decode(tensor: Tensor, parts: Sequence[bytes]) -> np.ndarray[Any, np.dtype[Any]]:
    """An array of ``tensor.shape`` and its dtype, in native byte order, C-contiguous and writable."""
    import numpy as np

    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    if "." in tensor.dtype:
        return data.copy()
    dtype = dtype_of(tensor.dtype)
    count = 1
    for extent in tensor.shape:
        count *= extent
    if tensor.args.get("packed"):
        halves = np.stack([data & 0x0F, data >> 4], axis=1).reshape(-1)
        if not count <= len(halves) <= count + 1:
            raise Malformed(f"{tensor.name!r}: {len(data)} bytes do not hold {count} 4-bit elements")
        flat = _four_bits(halves[:count], dtype)
    else:
        if len(data) != count * dtype.itemsize:
            raise Malformed(f"{tensor.name!r}: {len(data)} bytes, {count} elements of {dtype.itemsize} expected")
        if tensor.args.get("byteorder") == "big" and dtype.itemsize > 1:
            width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
            data = data.reshape(-1, width)[:, ::-1].reshape(-1)
        flat = np.ascontiguousarray(data).view(dtype)
    array = flat.reshape(tensor.shape, order="F" if tensor.args.get("order") == "F" else "C")
    return np.array(array, order="C")


def _four_bits(halves: np.ndarray[Any, np.dtype[Any]], dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """Sign-extend 4-bit values and give them ml_dtypes' one-byte-per-element type."""
    import numpy as np

    if dtype.name.startswith("int"):
        signed = (halves.astype(np.int8) ^ 8) - 8
        return signed.astype(dtype)
    if dtype.name.startswith("uint"):
        return halves.astype(dtype)
    return halves.view(dtype)
