"""Elements with gaps between them, or out of order: views, transposed and expanded tensors.

Arguments: ``strides``, a number of elements per dimension, none negative; ``byteorder`` as for "raw";
``itemsize``, bytes per element, for types of a format's own, which come out as uint8 of shape (bytes,) in C
order. The bytes begin with the first element and end with the last one that the strides reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import dtype_of
from lepton_ai.formats.encodings.shapes import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

MAX_EXPANSION = 16 << 20
"""Bytes up to which a tensor may repeat its elements (stride 0); above, it must not outgrow its data."""


def decode(tensor: Tensor, parts: Sequence[bytes]) -> np.ndarray[Any, np.dtype[Any]]:
    """An array of ``tensor.shape`` and its dtype, in native byte order, C-contiguous and writable."""
    import numpy as np

    data = b"".join(parts)
    own = "." in tensor.dtype
    dtype = np.dtype(f"V{_itemsize(tensor)}") if own else dtype_of(tensor.dtype)
    strides = _strides(tensor, len(data), dtype.itemsize)
    # A void type keeps numpy from looking at the elements: ml_dtypes' cannot be byte-swapped.
    plain = np.dtype(f"V{dtype.itemsize}")
    view = np.ndarray(tensor.shape, plain, data, strides=[stride * dtype.itemsize for stride in strides])
    flat = np.frombuffer(view.tobytes(), np.uint8)
    if own:
        return flat.copy()
    if tensor.args.get("byteorder") == "big" and dtype.itemsize > 1:
        width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
        flat = np.ascontiguousarray(flat.reshape(-1, width)[:, ::-1]).reshape(-1)
    return flat.view(dtype).reshape(tensor.shape).copy()


def _itemsize(tensor: Tensor) -> int:
    size = tensor.args.get("itemsize")
    if type(size) is not int or not 0 < size <= 64:
        raise Malformed(f"{tensor.name!r}: elements of unknown size")
    return size


def _strides(tensor: Tensor, length: int, itemsize: int) -> list[int]:
    """The strides in elements, proven to stay within ``length`` bytes and not to multiply them."""
    strides = tensor.args.get("strides")
    if not isinstance(strides, list) or len(strides) != len(tensor.shape):
        raise Malformed(f"{tensor.name!r}: strides do not fit its shape")
    count, reach = count_of(tensor.shape), 1
    result = []
    for extent, stride in zip(tensor.shape, strides, strict=True):
        if type(stride) is not int or stride < 0:
            raise Malformed(f"{tensor.name!r}: strides do not fit its shape")
        reach += (extent - 1) * stride if extent else 0
        result.append(stride if extent > 1 else 0)
    if not count or reach * itemsize != length:
        raise Malformed(f"{tensor.name!r}: {length} bytes do not hold what its strides reach")
    if count * itemsize > max(length, MAX_EXPANSION):
        raise Malformed(f"{tensor.name!r} repeats {length} bytes to {count * itemsize}")
    return result
