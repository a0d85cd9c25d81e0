"""Elements as decimal text in ASCII, with white space between them.

Argument: ``separator`` the one character that stands between two elements besides white space (","); without
it, white space alone divides them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import dtype_of
from lepton_ai.formats.encodings.shapes import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

NUMBER = rb"\s*+([-+0-9.eEnaNifIty]{1,64}+)"


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """An array of ``tensor.shape`` and its dtype, C-contiguous and writable.

    A float32 is the nearest one to the number as written, rounded by way of float64.
    """
    import numpy as np

    dtype = dtype_of(tensor.dtype)
    if dtype.kind not in "fiu":
        raise Malformed(f"{tensor.name!r}: {dtype} is not written as text")
    kind, whole = (np.float64, False) if dtype.kind == "f" else (np.int64, True)
    try:
        tokens = _tokens(b"".join(parts), tensor.args.get("separator", ""))
        values: Array = np.fromiter((int(t) if whole else float(t) for t in tokens), dtype=kind)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{tensor.name!r}: {error}") from error
    if len(values) != count_of(tensor.shape):
        raise Malformed(f"{tensor.name!r}: {len(values)} numbers for the shape {tensor.shape}")
    return _fit(values, dtype, tensor.name).reshape(tensor.shape)


def _tokens(text: bytes, separator: str) -> Iterator[bytes]:
    """The numbers one by one; nothing but separators may stand between them."""
    between = rb"\s*+(" + re.escape(separator.encode()) + rb"|\Z)" if separator else rb"(\s++|\Z)"
    pattern = re.compile(NUMBER + between)
    at, end = (0, len(text)) if text.strip() else (0, 0)
    while at < end:
        match = pattern.match(text, at)
        if match is None:
            raise ValueError(f"no number at byte {at}")
        at = match.end()
        yield match.group(1)
        if separator and at == end and match.group(2):
            raise ValueError("the last number is missing")


def _fit(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    """The values as ``dtype``; a whole number must fit it, a float may overflow to infinity."""
    import numpy as np

    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if len(values) and (values.min() < limits.min or values.max() > limits.max):
            raise Malformed(f"{name!r}: a number does not fit {dtype}")
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(dtype)
