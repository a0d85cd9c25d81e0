"""Names of element types → numpy dtypes, those of ml_dtypes included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    import numpy as np

NUMPY = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64", "complex64", "complex128"}
)
ML_DTYPES = frozenset(
    {"bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz"}
    | {"float8_e8m0fnu", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn", "int4", "uint4", "int2", "uint2"}
)

BITS = {
    **dict.fromkeys(("int4", "uint4", "float4_e2m1fn"), 4),
    **dict.fromkeys(("int2", "uint2"), 2),
    **dict.fromkeys(("float6_e2m3fn", "float6_e3m2fn"), 6),
}
"""Bits per element for the types below a byte; in memory (and unpacked) each takes a byte."""

ITEMSIZE = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    **dict.fromkeys((name for name in ML_DTYPES if name.startswith("float8")), 1),
    "complex128": 16,
}
"""Bytes per element for every type whose elements take whole bytes in a file."""


def dtype_of(name: str) -> np.dtype[Any]:
    """The numpy dtype called ``name``.

    Raises:
        Malformed: no such type.
    """
    import numpy as np

    if name in NUMPY:
        return np.dtype(name)
    if name in ML_DTYPES:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    raise Malformed(f"element type {name!r} is not known here")
