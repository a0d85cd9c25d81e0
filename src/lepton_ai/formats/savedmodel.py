"""TensorFlow's checkpoints, those inside of a SavedModel included: ``variables.index`` tells what the files
``variables.data-00000-of-00001`` hold.

Tensors are called as TensorFlow calls them: ``layer/kernel/.ATTRIBUTES/VARIABLE_VALUE``. Variables that Keras 3 numbers
anew at each export have their full name for the number: ``_all_variables/layer/kernel/.ATTRIBUTES/VARIABLE_VALUE``, not
``_all_variables/7/…``. Strings, resources, variants and variables that were saved in slices stay opaque, as do the
other files of the folder.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/tensor_bundle.proto
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from lepton_ai.formats.contract import (
    MAX_DIMENSIONS,
    BytesSource,
    Extent,
    Layout,
    Malformed,
    PartSource,
    Segment,
    Tensor,
    check_range,
    partition,
)
from lepton_ai.formats.encodings.dtypes import ITEMSIZE
from lepton_ai.formats.encodings.shapes import nbytes_of
from lepton_ai.formats.names import Names
from lepton_ai.formats.object_graph import KEY, named
from lepton_ai.formats.protobuf import BYTES, VARINT, Wire, signed
from lepton_ai.formats.sstable import entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.formats.contract import Format, Source

SUFFIX = ".index"

TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64",
    10: "bool", 11: "int8", 12: "uint8", 13: "int32", 14: "bfloat16", 15: "int16", 16: "uint16", 17: "uint16",
    18: "complex128", 19: "float16", 22: "uint32", 23: "uint64", 24: "float8_e5m2", 25: "float8_e4m3fn",
    26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz", 29: "int4", 30: "uint4",
    31: "int2", 32: "uint2", 33: "float4_e2m1fn",
}  # fmt: skip
"""DataType → element type; 11 to 13, 15 and 16 are the quantised ones, types below a byte take one each.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/types.proto
"""

MOST_SHARDS = 100_000


class _Entry(msgspec.Struct):
    """A BundleEntryProto; what is zero is not written."""

    kind: int = 0
    shape: list[int] = msgspec.field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    sliced: bool = False


class SavedModel:
    """The reader of TensorFlow's ``*.index`` files."""

    name = "savedmodel"

    def claims(self, path: str, head: bytes) -> bool:
        """By suffix, and the empty key that a checkpoint's table begins with."""
        return path.endswith(SUFFIX) and head.startswith(b"\0\0")

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (only TensorFlow calls them so)
        """Whether it is the index of a SavedModel's variables; others have a .index too."""
        return path.endswith("variables/variables" + SUFFIX)

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:
        """Where the tensors are, in the files beside the index."""
        shards, tensors, graph = 0, list[Tensor](), None
        base = posixpath.dirname(path)
        for number, (key, value) in enumerate(entries(source)):
            if number == 0:
                shards = _shards(key, value)
            elif tensor := _tensor(key, value, path, shards):
                tensors.append(tensor)
            elif key == KEY.encode():
                graph = _graph(value, path, shards, folder)
        if not shards:
            raise Malformed("it is an empty table")
        names = Names(source.size)  # keys share their beginnings: a small table can hold endless ones
        called = named([tensor.name for tensor in tensors], graph)
        parts: dict[str, list[Segment]] = {}
        for place, tensor in enumerate(tensors):
            (extent,) = tensor.extents
            data = folder.get(posixpath.join(base, extent.path))
            if data is None:
                raise Malformed(f"it describes {extent.path!r}, which is not beside it")
            check_range(extent.offset, extent.length, data.size)
            name = names.unique(called.get(tensor.name, tensor.name))
            tensors[place] = replace(tensor, name=name)
            hint = tensor.dtype if tensor.dtype in ITEMSIZE else "bytes"
            parts.setdefault(extent.path, []).append(Segment(extent.offset, extent.length, name, hint))
        companions = {
            name: partition(folder[posixpath.join(base, name)].size, part) for name, part in parts.items()
        }
        return Layout(self.name, partition(source.size, ()), tuple(tensors), companions)


def _shards(key: bytes, value: bytes) -> int:
    """The number of data files, from the BundleHeaderProto."""
    numbers = {1: 0, 2: 0}
    for item in Wire(BytesSource(value)).fields(0, len(value)):
        if item.number in numbers and item.wire == VARINT:
            numbers[item.number] = item.value
    if key != b"" or not 1 <= numbers[1] <= MOST_SHARDS:
        raise Malformed("it is no index of a checkpoint")
    if numbers[2] != 0:
        raise Malformed("its tensors are big-endian")
    return numbers[1]


def _tensor(key: bytes, value: bytes, path: str, shards: int) -> Tensor | None:
    """The tensor of an entry; None when its bytes stay opaque."""
    if key.startswith(b"\0"):  # a slice of a variable
        return None
    try:
        name = key.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name that is not UTF-8") from error
    entry = _entry(value)
    dtype = TYPES.get(entry.kind)
    if dtype is None or entry.sliced:
        return None
    shape = tuple(entry.shape)
    if entry.size != nbytes_of(dtype, shape):
        raise Malformed(f"{name!r}: {entry.size} bytes of {dtype} do not make the shape {shape}")
    if not 0 <= entry.shard < shards:
        raise Malformed(f"{name!r} is in part {entry.shard} of {shards}")
    return Tensor(name, dtype, shape, (_place(entry, path, shards),))


def _graph(value: bytes, path: str, shards: int, folder: Mapping[str, Source]) -> Source | None:
    """The graph of objects, where it is as an entry says; nothing that is needed to read the tensors."""
    extent = _place(_entry(value), path, shards)
    data = folder.get(posixpath.join(posixpath.dirname(path), extent.path))
    if data is None or not 0 <= extent.offset <= extent.offset + extent.length <= data.size:
        return None
    return PartSource(data, extent.offset, extent.length)


def _place(entry: _Entry, path: str, shards: int) -> Extent:
    stem = posixpath.basename(path).removesuffix(SUFFIX)
    return Extent(entry.offset, entry.size, f"{stem}.data-{entry.shard:05}-of-{shards:05}")


def _entry(value: bytes) -> _Entry:
    entry, wire = _Entry(), Wire(BytesSource(value))
    numbers = {1: "kind", 3: "shard", 4: "offset", 5: "size"}
    for item in wire.fields(0, len(value)):
        if item.number in numbers and item.wire == VARINT:
            setattr(entry, numbers[item.number], signed(item.value))
        elif item.number == 2 and item.wire == BYTES:
            for part in wire.fields(item.offset, item.end):
                if part.number == 2 and part.wire == BYTES and len(entry.shape) < MAX_DIMENSIONS:
                    sizes = wire.fields(part.offset, part.end)
                    entry.shape.append(sum(signed(s.value) for s in sizes if s.number == 1))
                else:
                    raise Malformed("a variable of no known shape")
        elif item.number == 7:
            entry.sliced = True
    return entry


FORMAT: Format = SavedModel()
