"""Elements as protobuf varints: seven bits a byte, the lowest first, the top bit says that more follow.

Each varint holds one element in its low bits: negative numbers in two's complement of 64 bits, floats of 16
bits and less as their bit pattern; a bool is any number but 0. Arguments: ``packed`` true when a varint holds
a byte of elements below a byte, lowest bits first; ``tag`` the varint that stands before every element when
the field is repeated and not packed.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import BITS, dtype_of
from lepton_ai.formats.encodings.raw import unpack
from lepton_ai.formats.encodings.shapes import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

LONGEST = 10
"""Bytes that a varint of 64 bits takes at most."""

PIECE = 1 << 18
"""Bytes that are looked at together: the work takes forty times their memory."""


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """An array of ``tensor.shape`` and its dtype, C-contiguous and writable."""
    import numpy as np

    values = varints(np.frombuffer(b"".join(parts), dtype=np.uint8))
    tag = tensor.args.get("tag")
    if tag is not None:
        if len(values) % 2 or (values[::2] != tag).any():
            raise Malformed(f"{tensor.name!r}: not every element has its tag")
        values = values[1::2]
    count = count_of(tensor.shape)
    if tensor.args.get("packed"):
        return unpack(values.astype(np.uint8), tensor.dtype, count).reshape(tensor.shape)
    if len(values) != count:
        raise Malformed(f"{tensor.name!r}: {len(values)} numbers for {count} elements")
    return _cast(values, tensor.dtype).reshape(tensor.shape)


def varints(data: Array) -> Array:
    """The numbers in a run of varints, as uint64.

    Raises:
        Malformed: the last one is cut, or one takes more than ten bytes.
    """
    import numpy as np

    last = data < 0x80
    if len(data) and not last[-1]:
        raise Malformed("the last varint is cut")
    values = np.empty(np.count_nonzero(last), dtype=np.uint64)
    start = count = 0
    while start < len(data):
        ends = np.flatnonzero(last[start : start + PIECE])
        if not len(ends):
            raise Malformed("a varint of more than ten bytes")
        end = start + int(ends[-1]) + 1
        values[count : count + len(ends)] = _piece(data[start:end], ends)
        start, count = end, count + len(ends)
    return values


def _piece(data: Array, ends: Array) -> Array:
    """The numbers in a run of whole varints that end at ``ends``."""
    import numpy as np

    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > LONGEST:
        raise Malformed("a varint of more than ten bytes")
    starts = ends - lengths + 1
    values = np.zeros(len(ends), dtype=np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        bits = (data[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= bits << np.uint64(7 * place)
    return values


def _cast(values: Array, name: str) -> Array:
    """The low bits of each number as an element of the type called ``name``."""
    import numpy as np

    dtype = dtype_of(name)
    if dtype.kind == "b":
        return values.astype(np.bool_)
    if name in BITS or dtype.kind == "c":
        if name.startswith(("int", "uint")) or dtype.kind == "c":
            raise Malformed(f"{name} elements are not written as varints of their own")
        return (values & np.uint64((1 << BITS[name]) - 1)).astype(np.uint8).view(dtype)
    return values.astype(np.dtype(f"u{dtype.itemsize}")).view(dtype)
