"""Bytes packed by deflate, as members of zip archives are (raw stream, RFC 1951).

Arguments: ``size``, the bytes that inflating gives; ``start`` and ``length``, which of them are the tensor's;
``encoding`` and ``args``, how those are to be read ("raw" or "strided").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lepton_ai.formats.contract import Malformed, Tensor, check_range
from lepton_ai.formats.encodings import raw, strided
from lepton_ai.formats.zip_members import DEFLATE_RATIO, inflate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_INNER: dict[str, Callable[[Tensor, Sequence[bytes]], Array]] = {"raw": raw.decode, "strided": strided.decode}


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """An array of ``tensor.shape``; never inflates more than the promised size."""
    args = tensor.args
    size, start, length = args.get("size"), args.get("start"), args.get("length")
    inner = _INNER.get(str(args.get("encoding")))
    if type(size) is not int or type(start) is not int or type(length) is not int or inner is None:
        raise Malformed(f"{tensor.name!r}: it is not said what its deflated bytes are")
    check_range(start, length, size)
    packed = b"".join(parts)
    if size > DEFLATE_RATIO * len(packed):
        raise Malformed(f"{tensor.name!r}: {len(packed)} bytes that promise {size}")
    data = inflate(packed, size)
    plain = msgspec.structs.replace(tensor, encoding=args["encoding"], args=args.get("args", {}))
    return inner(plain, [data[start : start + length]])
