"""Elements written in every way that a tensor can be, and read back by its decoder; in small bands, and whole."""

from __future__ import annotations

import math
import random
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.formats.contract import BytesSource, Extent, Tensor
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.encodings.dtypes import BITS, ITEMSIZE
from lepton_ai.formats.splice import Refused, layers, numbers, streams
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.edited import Edited
from lepton_ai.formats.splice.messages import varint_of
from lepton_ai.formats.splice.plain import Plain
from lepton_ai.testing.splicing import elements, whole

PATIENT = settings(deadline=None, max_examples=60)
BEFORE, BEHIND = b"before", b"behind"
SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def spliced(tensors: dict[Tensor | int, Any], data: bytes, news: dict[str, np.ndarray[Any, Any]]) -> bytes:
    source = BytesSource(data)
    plan = Plain(source, list(tensors.values()), list(news))
    if plan.refused:
        raise Refused(plan.refused)
    edits = plan.edits({name: BytesSource(array.tobytes()) for name, array in news.items()})
    return whole(Edited(source, edits))


def check(tensor: Tensor, body: bytes, seed: int) -> None:
    """New elements come back, what is around stays, and old ones give the same bytes."""
    rng = np.random.default_rng(seed)
    data = BEFORE + body + BEHIND
    old = decode(tensor, [body])
    assert spliced({0: tensor}, data, {"t": old}) == data
    new = elements(tensor, old, rng)
    if tensor.encoding == "text":
        new = np.where(rng.random(new.shape) < 0.4, old, new).astype(new.dtype)
    found = spliced({0: tensor}, data, {"t": new})
    assert found.startswith(BEFORE)
    assert found.endswith(BEHIND)
    middle = found[len(BEFORE) : len(found) - len(BEHIND)]
    assert decode(tensor, [middle]).tobytes() == new.tobytes()


def made(dtype: str, shape: tuple[int, ...], length: int, encoding: str = "raw", **args: Any) -> Tensor:
    return Tensor("t", dtype, shape, (Extent(len(BEFORE), length),), encoding, args)


@PATIENT
@given(
    st.sampled_from(sorted(ITEMSIZE)),
    SHAPES,
    SEEDS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([24, 500, 1 << 20]),
)
def test_raw_elements(
    dtype: str, shape: tuple[int, ...], seed: int, big: bool, fortran: bool, band: int
) -> None:
    args = ({"byteorder": "big"} if big else {}) | ({"order": "F"} if fortran else {})
    length = math.prod(shape) * ITEMSIZE[dtype]
    body = random.Random(seed).randbytes(length)
    if dtype == "bool":
        body = bytes(byte & 1 for byte in body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "BAND", band)
        check(made(dtype, shape, length, **args), body, seed)


@PATIENT
@given(st.sampled_from(["float32", "float64"]), st.integers(0, 40), SEEDS)
def test_elements_with_a_tag_each(dtype: str, count: int, seed: int) -> None:
    rng = random.Random(seed)
    body = b"".join(b"\x25" + rng.randbytes(ITEMSIZE[dtype]) for _ in range(count))
    check(made(dtype, (count,), len(body), tag=0x25), body, seed)


@PATIENT
@given(st.sampled_from(sorted(BITS)), st.integers(1, 70), SEEDS, st.sampled_from([3, 4, 7, 1 << 20]))
def test_elements_below_a_byte(dtype: str, count: int, seed: int, band: int) -> None:
    length = (count * BITS[dtype] + 7) // 8
    body = random.Random(seed).randbytes(length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "BAND", band)
        check(made(dtype, (count,), length, packed=True), body, seed)


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], list[int]]:
    """Shape and strides of a view in which no element lies twice: axes in any order, with gaps."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    strides, step = [0] * len(shape), 1
    for axis in order:
        strides[axis] = step * draw(st.integers(1, 2))
        step = strides[axis] * shape[axis]
    return tuple(shape), [s if n > 1 else 0 for s, n in zip(strides, shape, strict=True)]


@PATIENT
@given(st.sampled_from(["int8", "float16", "float32", "complex64"]), views(), SEEDS, st.booleans(),
       st.sampled_from([40, 1000, 1 << 20]))  # fmt: skip
def test_views(dtype: str, view: tuple[tuple[int, ...], list[int]], seed: int, big: bool, band: int) -> None:
    shape, strides = view
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    body = random.Random(seed).randbytes(reach * ITEMSIZE[dtype])
    tensor = made(
        dtype, shape, len(body), "strided", strides=strides, **({"byteorder": "big"} if big else {})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "BAND", band)
        check(tensor, body, seed)


VARINTS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "bfloat16",
           "float8_e4m3fn", "float6_e2m3fn"]  # fmt: skip


@PATIENT
@given(st.sampled_from(VARINTS), st.lists(st.integers(0, (1 << 64) - 1), max_size=60), SEEDS, st.booleans(),
       st.sampled_from([12, 1 << 18]))  # fmt: skip
def test_varints(dtype: str, values: list[int], seed: int, tagged: bool, piece: int) -> None:
    rng = random.Random(seed)
    values = [value >> rng.choice((0, 20, 40, 60)) for value in values]
    tag = b"\x28" if tagged else b""
    body = b"".join(tag + varint_of(value) for value in values)
    tensor = made(dtype, (len(values),), len(body), "varint", **({"tag": 0x28} if tagged else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "PIECE", piece)
        patch.setattr(numbers, "BLOCK", 24)
        check(tensor, body, seed)


@PATIENT
@given(st.sampled_from(["int4", "uint2", "float4_e2m1fn"]), st.integers(1, 80), SEEDS)
def test_varints_of_shared_bytes(dtype: str, count: int, seed: int) -> None:
    shared = random.Random(seed).randbytes((count * BITS[dtype] + 7) // 8)
    if left := count * BITS[dtype] % 8:
        shared = shared[:-1] + bytes([shared[-1] & ((1 << left) - 1)])
    body = b"".join(map(varint_of, shared))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "BLOCK", 24)
        check(made(dtype, (count,), len(body), "varint", packed=True), body, seed)


@PATIENT
@given(
    st.lists(st.floats(width=32), max_size=30),
    SEEDS,
    st.sampled_from(["", ","]),
    st.sampled_from(["float32", "float64"]),
)
def test_texts(values: list[float], seed: int, separator: str, dtype: str) -> None:
    rng = random.Random(seed)
    forms = ("{!r}", "{:.17g}", "{:e}")
    texts = [rng.choice(forms).format(value) for value in values]
    space = rng.choice(["", " "]) if separator else " "
    body = (separator + space).join(texts).encode()
    tensor = made(dtype, (len(values),), len(body), "text", **({"separator": separator} if separator else {}))
    check(tensor, body, seed)


@PATIENT
@given(st.integers(0, 3000), SEEDS, st.data())
def test_streams_can_be_read_anywhere(size: int, seed: int, draw: st.DataObject) -> None:
    rng = random.Random(seed)
    data = bytes(rng.choice(b"abc") for _ in range(size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "APART", 100)
        patch.setattr(streams, "PIECE", 64)
        packed = streams.Deflated(BytesSource(data))
        inflated = streams.Inflated(packed, size)
        for source, expected in ((packed, zlib.compress(data, 6, -15)), (inflated, data)):
            if source is inflated:
                assert whole(inflated) == data
            places = draw.draw(st.lists(st.integers(0, source.size), min_size=2, max_size=8))
            everything = whole(source)
            assert zlib.decompress(everything, -15) == data if source is packed else everything == expected
            for low, high in map(sorted, pairwise(places)):
                assert source.read(low, high - low) == everything[low:high]


F32 = np.arange(6, dtype=np.float32)


def test_two_names_of_the_same_bytes_change_together_or_not_at_all() -> None:
    one = Tensor("one", "float32", (6,), (Extent(0, 24),))
    two = Tensor("two", "float32", (2, 3), (Extent(0, 24),))
    tensors, data = {1: one, 2: two}, bytes(24)
    assert spliced(tensors, data, {"one": F32, "two": F32}) == F32.tobytes()
    with pytest.raises(Refused, match="'one' shares its bytes with 'two', which is to stay as it is"):
        spliced(tensors, data, {"one": F32})
    with pytest.raises(Refused, match="shares its bytes with 'two', which would become something else there"):
        spliced(tensors, data, {"one": F32, "two": F32 + 1})


def test_views_between_each_other_are_no_sharing() -> None:
    even = Tensor("even", "float32", (3,), (Extent(0, 20),), "strided", {"strides": [2]})
    odd = Tensor("odd", "float32", (3,), (Extent(4, 20),), "strided", {"strides": [2]})
    tensors, data = {1: even, 2: odd}, F32.tobytes()
    new = np.array([7, 8, 9], np.float32)
    assert np.frombuffer(spliced(tensors, data, {"odd": new}), np.float32).tolist() == [0, 7, 2, 8, 4, 9]
    both = spliced(tensors, data, {"odd": new, "even": -new})
    assert np.frombuffer(both, np.float32).tolist() == [-7, 7, -8, 8, -9, 9]


def test_a_repeated_element_must_be_the_same_everywhere() -> None:
    wide = Tensor("wide", "float32", (3, 2), (Extent(0, 8),), "strided", {"strides": [0, 1]})
    rows = np.array([[5, 6]] * 3, np.float32)
    assert spliced({1: wide}, bytes(8), {"wide": rows}) == rows[0].tobytes()
    with pytest.raises(Refused, match="repeats its elements"):
        spliced({1: wide}, bytes(8), {"wide": np.arange(6, dtype=np.float32).reshape(3, 2)})


def test_edits_that_meet_are_a_bug() -> None:
    base, new = BytesSource(bytes(9)), BytesSource(b"xx")
    assert whole(Edited(base, [Edit(9, 0, new), Edit(0, 3, new)])) == b"xx" + bytes(6) + b"xx"
    with pytest.raises(ValueError, match="meets another"):
        Edited(base, [Edit(0, 3, new), Edit(2, 1, new)])
    with pytest.raises(ValueError, match="none of the file"):
        Edited(base, [Edit(8, 2, new)])
