"""safetensors files as the library writes them, and as nobody should."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.safetensors import FORMAT, MAX_HEADER
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lepton_ai.formats.contract import Layout

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(5)
PLAIN = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "complex64",
)
SMALL = {
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    torch.float8_e5m2: ml_dtypes.float8_e5m2,
    torch.float8_e4m3fnuz: ml_dtypes.float8_e4m3fnuz,
    torch.float8_e5m2fnuz: ml_dtypes.float8_e5m2fnuz,
    torch.float8_e8m0fnu: ml_dtypes.float8_e8m0fnu,
}


def every_type() -> Sample:
    tensors: dict[str, torch.Tensor] = {}
    expected: dict[str, Array] = {}
    for name in PLAIN:
        array = (RNG.normal(size=(3, 5)) * 100).astype(name)
        tensors[name], expected[name] = torch.from_numpy(array), array
    for dtype, ours in SMALL.items():
        size = torch.empty(0, dtype=dtype).element_size()
        data = RNG.integers(0, 255, (4, 6 * size), np.uint8)
        tensors[str(dtype)], expected[str(dtype)] = torch.from_numpy(data).view(dtype), data.view(ours)
    pairs = RNG.integers(0, 255, (3, 4), np.uint8)
    tensors["f4"] = torch.from_numpy(pairs).view(torch.float4_e2m1fn_x2)
    expected["f4"] = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(3, 8).view(ml_dtypes.float4_e2m1fn)
    return Sample({"every.safetensors": safetensors.torch.save(tensors)}, "every.safetensors", expected)


def edges() -> Sample:
    expected = {
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 7), np.int16),
        "层.权重": np.arange(6, dtype=np.int64).reshape(2, 3),
        "a.b/c d": np.ones(1, np.uint8),
    }
    data = safetensors.numpy.save(expected, metadata={"format": "pt", "note": "a, b"})
    return Sample({"EDGES.SafeTensors": data}, "EDGES.SafeTensors", expected)


def sharded() -> dict[str, bytes]:
    one, two = {"a.weight": np.arange(8, dtype=np.float32)}, {"b.weight": np.arange(4, dtype=np.float16)}
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"metadata": {"total_size": 40}, "weight_map": {"a.weight": names[0], "b.weight": names[1]}}
    return {
        f"model/{names[0]}": safetensors.numpy.save(one),
        f"model/{names[1]}": safetensors.numpy.save(two),
        "model/model.safetensors.index.json": json.dumps(index).encode(),
        "model/config.json": b"{}",
    }


def build(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, end: int, shape: Any = None, dtype: Any = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


def read(data: bytes) -> Layout:
    source = BytesSource(data)
    return FORMAT.layout("m.safetensors", source, {"m.safetensors": source})


@pytest.fixture(scope="module")
def reader() -> Any:
    return FORMAT


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    files = sharded()
    shard = "model/model-00001-of-00002.safetensors"
    return [every_type(), edges(), Sample(files, shard, {"a.weight": np.arange(8, dtype=np.float32)})]


class TestSafetensors(FormatSuite, MergeSuite):
    """The promises of a reader."""

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What torch is given."""
        found = {}
        with safetensors.safe_open(folder / main, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (no mapping)
        for name, tensor in tensors.items():
            if tensor.dtype in SMALL:
                plain = torch.int16 if tensor.dtype is torch.bfloat16 else torch.uint8
                found[name] = tensor.view(plain).numpy().view(SMALL[tensor.dtype])
            elif tensor.dtype is not torch.float4_e2m1fn_x2:
                found[name] = tensor.numpy()
        return found


def test_a_sharded_folder_is_each_shard() -> None:
    found = layouts({path: BytesSource(data) for path, data in sharded().items()})
    assert {path: layout.format for path, layout in found.items()} == {
        "model/model-00001-of-00002.safetensors": "safetensors",
        "model/model-00002-of-00002.safetensors": "safetensors",
        "model/model.safetensors.index.json": "opaque",
        "model/config.json": "opaque",
    }
    names = [t.name for layout in found.values() for t in layout.tensors]
    assert sorted(names) == ["a.weight", "b.weight"]


def test_the_headers_order_need_not_be_the_datas() -> None:
    data = build({"last": entry(4, 8), "first": entry(0, 4)}, b"aaaabbbb")
    source = BytesSource(data)
    layout = FORMAT.layout("x", source, {"x": source})
    assert [segment.tensor for segment in layout.segments] == [None, "first", "last"]
    values = {name: array.tobytes() for name, array in read_tensors({"x": source}, "x", layout)}
    assert values == {"last": b"bbbb", "first": b"aaaa"}


def test_holes_and_what_follows_are_opaque() -> None:
    layout = read(build({"a": entry(2, 4)}, b"..aa...."))
    assert [(s.tensor, s.length) for s in layout.segments][1:] == [("a", 2), (None, 4)]


def test_a_file_of_another_name_is_known_by_its_head() -> None:
    data = build({"a": entry(0, 1)}, b"x")
    assert FORMAT.claims("weights", data[:4096])
    assert not FORMAT.claims("weights", b'\xff\xff\xff\xff\xff\xff\xff\xff{"')


HOSTILE = {
    "empty": b"",
    "cut length": b"\1\0\0",
    "length beyond the file": struct.pack("<Q", 100) + b"{}",
    "length of all bits": b"\xff" * 8 + b"{}",
    "length above the limit": struct.pack("<Q", MAX_HEADER + 1) + b" " * 100,
    "no JSON": build(b"{"),
    "no UTF-8": build(b'{"\xff": 1}'),
    "UTF-16": build('{"a": 1}'.encode("utf-16")),
    "a list": build([]),
    "a number": build(b"1"),
    "entry is no object": build({"a": 1}),
    "entry lacks the shape": build({"a": {"dtype": "U8", "data_offsets": [0, 0]}}),
    "same key twice": build(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],'
                            b'"data_offsets":[0,0]}}'),
    "same key twice within": build(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "deep lists": build(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "deep objects": build(b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
    "too many values": build(b'{"a":[' + b"0," * 5_000_000 + b"0]}"),
    "huge number": build(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}'),
    "large number": build({"a": entry(0, int("9" * 4000))}),
    "unknown type": build({"a": entry(0, 1, dtype="X8")}, b"x"),
    "type is a list": build({"a": entry(0, 1, dtype=["U8"])}, b"x"),
    "negative offset": build({"a": entry(-1, 0)}, b"x"),
    "ends before it starts": build({"a": entry(1, 0, shape=[-1])}, b"x"),
    "beyond the file": build({"a": entry(0, 2)}, b"x"),
    "overlap": build({"a": entry(0, 2), "b": entry(1, 3)}, b"xxx"),
    "same bytes": build({"a": entry(0, 2), "b": entry(0, 2)}, b"xx"),
    "shape too small": build({"a": entry(0, 4, shape=[3])}, b"xxxx"),
    "shape too large": build({"a": entry(0, 4, shape=[2, 3])}, b"xxxx"),
    "shape wraps round": build({"a": entry(0, 4, shape=[2**62, 2**62, 4])}, b"xxxx"),
    "huge and empty": build({"a": entry(0, 0, shape=[0, 2**62, 2**62])}),
    "two negative extents": build({"a": entry(0, 4, shape=[-2, -2])}, b"xxxx"),
    "extent is a float": build({"a": entry(0, 4, shape=[4.0])}, b"xxxx"),
    "extent is true": build({"a": entry(0, 1, shape=[True])}, b"x"),
    "offset is true": build({"a": {"dtype": "U8", "shape": [1], "data_offsets": [False, True]}}, b"x"),
    "offset is a float": build({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0.0, 1.0]}}, b"x"),
    "three offsets": build({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1]}}, b"x"),
    "65 dimensions": build({"a": entry(0, 1, shape=[1] * 65)}, b"x"),
    "name of a lone surrogate": build(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "name that moves the cursor": build({"a\x1b[2J": entry(0, 0)}),
    "long name": build({"a" * 5000: entry(0, 0)}),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


def test_a_refused_file_is_kept_as_opaque_bytes_and_says_why() -> None:
    data = build({"a": entry(0, 9)}, b"x")
    layout = layouts({"m.safetensors": BytesSource(data)})["m.safetensors"]
    assert layout.format == "opaque"
    assert "not read as safetensors" in layout.note
    assert sum(segment.length for segment in layout.segments) == len(data)
