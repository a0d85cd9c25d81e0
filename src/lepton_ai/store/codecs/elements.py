"""Element types by number, as they stand in object headers. Append only: numbers are part of the format."""

from __future__ import annotations

from lepton_ai.store.codecs.contract import Element

BYTES = Element(0, 1)

_TABLE: tuple[tuple[int, str, int], ...] = (
    (0, "bytes", 1),
    (1, "bool", 1),
    (2, "int8", 1),
    (3, "uint8", 1),
    (4, "int16", 2),
    (5, "uint16", 2),
    (6, "int32", 4),
    (7, "uint32", 4),
    (8, "int64", 8),
    (9, "uint64", 8),
    (10, "float16", 2),
    (11, "bfloat16", 2),
    (12, "float32", 4),
    (13, "float64", 8),
    (14, "complex64", 4),  # two float32 in turn
    (15, "complex128", 8),
    (16, "float8_e4m3fn", 1),
    (17, "float8_e5m2", 1),
    (18, "float8_e4m3fnuz", 1),
    (19, "float8_e5m2fnuz", 1),
    (20, "float8_e8m0fnu", 1),
    (21, "float4_e2m1fn", 1),  # the narrow ones: packed or one in a byte, as the file has them
    (22, "int4", 1),
    (23, "uint4", 1),
    (24, "int2", 1),
    (25, "uint2", 1),
)

ELEMENTS = {name: Element(number, width) for number, name, width in _TABLE}


def element_of(dtype: str) -> Element:
    """The element for a hint such as "float32"; unknown hints are bytes."""
    return ELEMENTS.get(dtype, BYTES)
