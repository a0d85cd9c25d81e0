"""Raw elements, one after the other.

Arguments: ``byteorder`` "little" (default) or "big"; ``order`` "C" (default) or "F"; ``packed`` true when
elements below a byte (two of 4 bits, four of 2, four of 6 in three bytes) share bytes, lowest bits first;
``tag`` a byte that stands before every element. Numbers of a format's own type ("gguf.…") come out as uint8
of shape (bytes,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import BITS, dtype_of
from lepton_ai.formats.encodings.shapes import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """An array of ``tensor.shape`` and its dtype, in native byte order, C-contiguous and writable."""
    import numpy as np

    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    if "." in tensor.dtype:
        return data.copy()
    dtype = dtype_of(tensor.dtype)
    count = count_of(tensor.shape)
    if "tag" in tensor.args:
        data = _without_tags(data, tensor.args["tag"], dtype.itemsize)
    if tensor.args.get("packed"):
        flat = unpack(data, tensor.dtype, count)
    else:
        if len(data) != count * dtype.itemsize:
            raise Malformed(f"{tensor.name!r}: {len(data)} bytes for {count} elements of {dtype.itemsize}")
        if tensor.args.get("byteorder") == "big" and dtype.itemsize > 1:
            width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
            data = data.reshape(-1, width)[:, ::-1].reshape(-1)
        flat = np.ascontiguousarray(data).view(dtype)
    array = flat.reshape(tensor.shape, order="F" if tensor.args.get("order") == "F" else "C")
    return np.array(array, order="C")


def _without_tags(data: Array, tag: int, itemsize: int) -> Array:
    """The elements alone, of ``itemsize`` bytes each."""
    if len(data) % (itemsize + 1):
        raise Malformed(f"{len(data)} bytes are no elements of {itemsize} with a tag each")
    rows = data.reshape(-1, itemsize + 1)
    if (rows[:, 0] != tag).any():
        raise Malformed("an element has not its tag")
    return rows[:, 1:].reshape(-1)


def unpack(data: Array, name: str, count: int) -> Array:
    """``count`` elements of the type called ``name`` out of the bytes that they share, a byte each.

    Raises:
        Malformed: the bytes hold more or fewer elements, or the type takes whole bytes.
    """
    import numpy as np

    dtype, bits = dtype_of(name), BITS.get(name)
    if bits is None or len(data) != (count * bits + 7) // 8:
        raise Malformed(f"{len(data)} bytes do not hold {count} packed elements of {name}")
    shared: Array
    if bits == 6:
        rows = np.unpackbits(data, bitorder="little")[: count * bits].reshape(-1, bits)
        shared = np.packbits(rows, axis=1, bitorder="little")
    else:
        shared = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & ((1 << bits) - 1)
    values = shared.reshape(-1)[:count]
    if name.startswith("int"):
        half = 1 << (bits - 1)
        return ((values.astype(np.int8) ^ half) - half).astype(dtype)
    return values.astype(dtype) if name.startswith("uint") else values.view(dtype)
