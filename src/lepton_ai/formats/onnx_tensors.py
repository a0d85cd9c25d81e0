"""One TensorProto of ONNX: what it says of itself, and where its elements lie.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_ai.formats.contract import MAX_DIMENSIONS, Extent, Malformed, Tensor, check_range
from lepton_ai.formats.encodings.dtypes import BITS
from lepton_ai.formats.encodings.shapes import count_of, nbytes_of
from lepton_ai.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.formats.contract import Source
    from lepton_ai.formats.protobuf import Field, Wire

TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0fnu",
    25: "uint2",
    26: "int2",
    27: "float6_e2m3fn",
    28: "float6_e3m2fn",
}
"""TensorProto.DataType → element type. Strings (8) and what is to come are kept as opaque bytes."""

RAW, FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 9, 4, 5, 7, 10, 11
CONTENT = frozenset({RAW, FLOATS, INT32S, INT64S, DOUBLES, UINT64S})
HOLDS = {
    FLOATS: {"float32", "complex64"},
    DOUBLES: {"float64", "complex128"},
    INT64S: {"int64"},
    UINT64S: {"uint32", "uint64"},
    INT32S: set(TYPES.values())
    - {"float32", "float64", "complex64", "complex128", "int64", "uint32", "uint64"},
}
"""The element types that each of the typed fields may hold."""


class TensorProto(msgspec.Struct):
    """What the message says; ``content`` are the fields that hold elements."""

    name: str = ""
    kind: int = 0
    shape: list[int] = msgspec.field(default_factory=list)
    content: list[Field] = msgspec.field(default_factory=list)
    external: dict[str, str] = msgspec.field(default_factory=dict)
    outside: bool = False
    partial: bool = False


def read(wire: Wire, message: Field) -> TensorProto:
    """Read a TensorProto, its elements excepted.

    Raises:
        Malformed: it is not one.
    """
    proto = TensorProto()
    for item in wire.fields(message.offset, message.end, runs=CONTENT - {RAW}):
        if item.number in CONTENT:
            proto.content = [*proto.content[-1:], item]  # two are enough to know that there are several
        elif item.number == 1:
            proto.shape += wire.numbers(item, MAX_DIMENSIONS)
        elif item.number == 2 and item.wire == VARINT:
            proto.kind = item.value
        elif item.number == 3:
            proto.partial = True
        elif item.number == 8:
            proto.name = wire.text(item)
        elif item.number == 13:
            entry = {part.number: wire.text(part) for part in wire.fields(item.offset, item.end)}
            proto.external[entry.get(1, "")] = entry.get(2, "")
        elif item.number == 14 and item.wire == VARINT:
            proto.outside = item.value == 1
        if len(proto.shape) > MAX_DIMENSIONS:
            raise Malformed(f"a tensor of more than {MAX_DIMENSIONS} dimensions")
    return proto


def place(proto: TensorProto, name: str, neighbours: Mapping[str, Source]) -> Tensor | None:
    """The tensor that ``proto`` describes; None when its bytes stay opaque.

    That is so for strings, chunks of a larger tensor, elements in several places and types that are not
    known. ``neighbours`` are the files beside the model by path relative to it.

    Raises:
        Malformed: what it says cannot be.
    """
    dtype = TYPES.get(proto.kind)
    if dtype is None or proto.partial:
        return None
    shape = tuple(proto.shape)
    if proto.outside:
        extent = _external(proto.external, neighbours, nbytes_of(dtype, shape, packed=True))
        return Tensor(name, dtype, shape, (extent,), args=_packed(dtype))
    if not proto.content:
        return None if count_of(shape) else Tensor(name, dtype, shape, ())
    if len(proto.content) > 1:
        return None
    return _inside(proto.content[0], name, dtype, shape)


def _inside(content: Field, name: str, dtype: str, shape: tuple[int, ...]) -> Tensor | None:
    extents = (Extent(content.offset, content.length),)
    if content.number == RAW:
        if content.wire != BYTES or content.length != nbytes_of(dtype, shape, packed=True):
            raise Malformed(f"{name!r}: {content.length} bytes of {dtype} do not make the shape {shape}")
        return Tensor(name, dtype, shape, extents, args=_packed(dtype))
    if dtype not in HOLDS[content.number]:
        raise Malformed(f"{name!r}: elements of {dtype} in field {content.number}")
    if content.number in {FLOATS, DOUBLES}:
        if content.wire == BYTES:
            if content.length != nbytes_of(dtype, shape):
                raise Malformed(f"{name!r}: {content.length} bytes of {dtype} do not make the shape {shape}")
            return Tensor(name, dtype, shape, extents)
        return numbers_with_tags(content, name, dtype, shape)
    stored = nbytes_of(dtype, shape, packed=BITS.get(dtype) != 6) if dtype in BITS else count_of(shape)
    if content.wire != BYTES:
        return numbers_with_tags(content, name, dtype, shape) if dtype not in BITS else None
    if not stored <= content.length <= 10 * stored:
        raise Malformed(f"{name!r}: {content.length} bytes of numbers do not make the shape {shape}")
    args = {} if BITS.get(dtype) == 6 else _packed(dtype)
    return Tensor(name, dtype, shape, extents, "varint", args)


def numbers_with_tags(content: Field, name: str, dtype: str, shape: tuple[int, ...]) -> Tensor | None:
    """A tensor out of a repeated field that is not packed: a run of numbers with a tag each.

    Raises:
        Malformed: there are more or fewer numbers than elements.
    """
    tag = content.number << 3 | content.wire
    if dtype.startswith("complex") or tag > 0x7F:
        return None
    wire, width = {"float32": (FIXED32, 4), "float64": (FIXED64, 8)}.get(dtype, (VARINT, 0))
    if content.wire != wire or content.times != count_of(shape):
        raise Malformed(f"{name!r}: {content.times} numbers for the shape {shape} of {dtype}")
    if width and content.length != content.times * (1 + width):
        return None  # a tag written in more bytes than it needs
    extents = (Extent(content.offset, content.length),)
    return Tensor(name, dtype, shape, extents, "raw" if width else "varint", {"tag": tag})


def _packed(dtype: str) -> dict[str, Any]:
    return {"packed": True} if dtype in BITS else {}


def _external(entries: Mapping[str, str], neighbours: Mapping[str, Source], nbytes: int) -> Extent:
    """Where external data lie; without a length the tensor's own, or what is left of the file, must do."""
    path = posixpath.normpath(entries.get("location", ""))
    if path.startswith(("/", "..")) or path not in neighbours:
        raise Malformed(f"it keeps weights in {path!r}, which is not beside it")
    numbers = {key: entries[key] for key in ("offset", "length") if key in entries}
    if not all(re.fullmatch(r"[0-9]{1,19}", number) for number in numbers.values()):
        raise Malformed(f"it keeps weights at {numbers}")
    offset = int(numbers.get("offset", "0"))
    length = int(numbers.get("length", str(nbytes)))
    check_range(offset, length, neighbours[path].size)
    if length != nbytes:
        raise Malformed(f"{length} bytes of {path!r} for a tensor that takes {nbytes}")
    return Extent(offset, length, path)
