"""The decoders of strided and of deflated bytes."""

from __future__ import annotations

import random
import zlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.encodings.strided import MAX_EXPANSION


def strided(
    dtype: str, shape: tuple[int, ...], strides: list[int], data: bytes, **args: Any
) -> np.ndarray[Any, Any]:
    return decode(Tensor("t", dtype, shape, (), "strided", {"strides": strides, **args}), [data])


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "float32", "float64", "complex64", "bool", "bfloat16", "float8_e5m2"]
)
@pytest.mark.parametrize("order", ["little", "big"])
def test_strided_equals_numpys_own_strides(dtype: str, order: str) -> None:
    rng = random.Random(f"{dtype}{order}")
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    for _ in range(50):
        shape = tuple(rng.randrange(1, 4) for _ in range(rng.randrange(4)))
        strides = [rng.randrange(4) for _ in shape]
        reach = 1 + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
        data = rng.randbytes(reach * kind.itemsize)
        if dtype == "bool":
            data = bytes(byte & 1 for byte in data)
        flat = np.frombuffer(data, f"V{kind.itemsize}")
        steps = [stride * kind.itemsize for stride in strides]
        expected = np.array(np.lib.stride_tricks.as_strided(flat, shape, steps), order="C")
        if order == "big":
            width = kind.itemsize // 2 if kind.kind == "c" else kind.itemsize
            data = np.frombuffer(data, f"V{width}").tobytes()
            data = b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))
        found = strided(dtype, shape, strides, data, byteorder=order)
        assert found.dtype == kind
        assert found.shape == shape
        assert found.tobytes() == expected.tobytes()
        assert found.flags.c_contiguous
        assert found.flags.writeable


def test_elements_of_a_formats_own_type_come_out_as_bytes() -> None:
    found = strided("torch.complex32", (2, 2), [1, 2], b"aaaabbbbccccdddd", itemsize=4)
    assert found.tobytes() == b"aaaaccccbbbbdddd"
    assert found.dtype == np.uint8
    for itemsize in (None, 0, -1, 2**40, 1.5):
        with pytest.raises(Malformed):
            strided("torch.complex32", (2, 2), [1, 2], b"aaaabbbbccccdddd", itemsize=itemsize)


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((2, 2), [1]),
        ((2, 2), [1, 1, 1]),
        ((2, 2), None),
        ((2, 2), [1, -1]),
        ((2, 2), [1.0, 1.0]),
        ((2, 2), [True, True]),
        ((2, 2), [1, 2**62]),
        ((2, 3), [2, 2]),
        ((2, 2), [1, 1]),
        ((0, 2), [2, 1]),
        ((-1, 2), [2, 1]),
    ],
)
def test_strides_that_do_not_fit_are_refused(shape: tuple[int, ...], strides: Any) -> None:
    with pytest.raises(Malformed):
        strided("uint8", shape, strides, b"abcd")


def test_repeating_is_bounded() -> None:
    assert strided("uint8", (MAX_EXPANSION,), [0], b"x").nbytes == MAX_EXPANSION
    for shape, strides in (
        ((MAX_EXPANSION + 1,), [0]),
        ((2**28, 2**28), [0, 0]),
    ):
        with pytest.raises(Malformed, match="repeats"):
            strided("uint8", shape, strides, b"x")
    for shape in ((1,) * 65, (2**62, 2**62, 2**62)):
        with pytest.raises(Malformed, match="a tensor of"):
            strided("uint8", shape, [0] * len(shape), b"x")


def deflated(data: bytes, **args: Any) -> np.ndarray[Any, Any]:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    given = {"size": len(data), "start": 2, "length": 4, "encoding": "raw", "args": {}} | args
    return decode(Tensor("t", "int16", (2,), (), "deflated", given), [packed[:3], packed[3:]])


def test_deflated_is_inflated_and_cut_out() -> None:
    assert deflated(b"..\1\0\2\0..").tolist() == [1, 2]
    assert deflated(b"..\1\0\2\0..", args={"byteorder": "big"}).tolist() == [256, 512]
    assert deflated(b"..\1\0\2\0\3\0", encoding="strided", length=6, args={"strides": [2]}).tolist() == [1, 3]


@pytest.mark.parametrize(
    "args",
    [
        {"size": 7},
        {"size": 9},
        {"size": -1},
        {"size": None},
        {"size": 2**62},
        {"start": 5},
        {"start": -1},
        {"length": 3},
        {"length": -4},
        {"length": True},
        {"encoding": "deflated"},
        {"encoding": ["raw"]},
        {"encoding": None},
    ],
)
def test_deflated_bytes_that_do_not_fit_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        deflated(b"..\1\0\2\0..", **args)


def test_what_is_no_deflated_stream_is_refused() -> None:
    given = {"size": 4, "start": 0, "length": 4, "encoding": "raw", "args": {}}
    for data in (b"", b"\xff" * 20, b"\x03"):
        with pytest.raises(Malformed):
            decode(Tensor("t", "int16", (2,), (), "deflated", given), [data])
