"""The decoders of raw, varint and text elements, and what they refuse."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.encodings.dtypes import BITS
from lepton_ai.formats.encodings.shapes import count_of, nbytes_of


def read(encoding: str, data: bytes, dtype: str, shape: tuple[int, ...], **args: Any) -> Any:
    return decode(Tensor("t", dtype, shape, (), encoding, args), [data[:3], data[3:]])


def varints(*values: int) -> bytes:
    out = bytearray()
    for value in values:
        rest = value % (1 << 64)
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.sampled_from(["int64", "uint64", "int32", "uint8", "int16"]),
)
def test_varints_keep_the_low_bits(values: list[int], dtype: str) -> None:
    wide = np.array(values, dtype=np.int64)
    assert (read("varint", varints(*values), dtype, (len(values),)) == wide.astype(dtype)).all()
    tagged = varints(*(n for value in values for n in (40, value)))
    assert (read("varint", tagged, dtype, (len(values),), tag=40) == wide.astype(dtype)).all()


@given(st.lists(st.floats(width=64)), st.sampled_from([",", ""]))
def test_floats_survive_as_text(values: list[float], separator: str) -> None:
    expected = np.array(values, dtype=np.float64)
    text = (separator or " ").join(map(repr, values)).encode()
    found = read("text", text, "float64", (len(values),), **({"separator": separator} if separator else {}))
    assert np.array_equal(found, expected, equal_nan=True)
    with np.errstate(over="ignore"):
        single = read(
            "text", text, "float32", (len(values),), **({"separator": separator} if separator else {})
        )
        assert np.array_equal(single, expected.astype(np.float32), equal_nan=True)


@given(st.lists(st.integers(0, 63)), st.sampled_from(["int4", "uint4", "int2", "uint2", "float6_e2m3fn"]))
def test_packed_elements_share_bytes_from_the_lowest_bits_on(values: list[int], dtype: str) -> None:
    bits = BITS[dtype]
    stream = sum((value % (1 << bits)) << (bits * n) for n, value in enumerate(values))
    data = stream.to_bytes(nbytes_of(dtype, (len(values),), packed=True), "little")
    found = read("raw", data, dtype, (len(values),), packed=True)
    assert found.dtype == np.dtype(getattr(ml_dtypes, dtype))
    assert [int(x) % (1 << bits) for x in found.view(np.uint8)] == [value % (1 << bits) for value in values]


def test_bools_and_floats_as_varints() -> None:
    assert read("varint", varints(0, 1, 7), "bool", (3,)).tolist() == [False, True, True]
    half = np.array([1.5, -2.0], dtype=np.float16)
    assert (read("varint", varints(*half.view(np.uint16).tolist()), "float16", (2,)) == half).all()
    tiny = read("varint", varints(8, 40), "float6_e2m3fn", (2,))
    assert tiny.view(np.uint8).tolist() == [8, 40]


@pytest.mark.parametrize(
    ("encoding", "data", "dtype", "shape", "args"),
    [
        ("raw", bytes(7), "float32", (2,), {}),
        ("raw", bytes(8), "float33", (2,), {}),
        ("raw", bytes(9), "float32", (2,), {"tag": 0}),
        ("raw", b"\1" + bytes(4), "float32", (1,), {"tag": 2}),
        ("raw", bytes(3), "int4", (4,), {"packed": True}),
        ("raw", bytes(4), "int8", (4,), {"packed": True}),
        ("raw", b"", "int8", (0, 2**62, 4), {}),
        ("varint", b"\x80", "int64", (1,), {}),
        ("varint", b"\x81" * 10 + b"\1", "int64", (1,), {}),
        ("varint", b"\1\2", "int64", (1,), {}),
        ("varint", b"\1", "int4", (1,), {}),
        ("varint", b"\1", "complex64", (1,), {}),
        ("varint", b"\1\2\1", "int64", (1,), {"tag": 1}),
        ("varint", b"\1\2\2\2", "int64", (2,), {"tag": 1}),
        ("varint", b"\1", "uint4", (3,), {"packed": True}),
        ("text", b"1 2", "int32", (3,), {}),
        ("text", b"1;2", "int32", (2,), {}),
        ("text", b"1,,2", "int32", (2,), {"separator": ","}),
        ("text", b"1,2,", "int32", (2,), {"separator": ","}),
        ("text", b",1", "int32", (1,), {"separator": ","}),
        ("text", b"1 2", "int32", (2,), {"separator": ","}),
        ("text", b"1.5", "int32", (1,), {}),
        ("text", b"1e5e", "float32", (1,), {}),
        ("text", b"1_0", "float32", (1,), {}),
        ("text", b"300", "uint8", (1,), {}),
        ("text", b"9" * 30, "int64", (1,), {}),
        ("text", b"9" * 100, "float64", (1,), {}),
        ("text", b"1", "complex64", (1,), {}),
        ("nothing", b"", "int8", (0,), {}),
    ],
)
def test_what_does_not_fit_is_refused(
    encoding: str, data: bytes, dtype: str, shape: tuple[int, ...], args: dict[str, Any]
) -> None:
    with pytest.raises(Malformed):
        read(encoding, data, dtype, shape, **args)


@pytest.mark.parametrize("shape", [(-1,), (1,) * 65, (2**40, 2**40), (0, 2**63)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        count_of(shape)


def test_bytes_of_shapes() -> None:
    assert nbytes_of("float32", (2, 3)) == 24
    assert nbytes_of("int4", (3,)) == 3
    assert nbytes_of("int4", (3,), packed=True) == 2
    assert nbytes_of("float6_e2m3fn", (3,), packed=True) == 3
    with pytest.raises(Malformed):
        nbytes_of("gguf.Q4_K", (1,))
