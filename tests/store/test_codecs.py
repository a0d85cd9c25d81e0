"""The codecs that ship with the package, and how one is chosen."""

from __future__ import annotations

import ast
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lepton_ai.store.codecs
from lepton_ai.errors import Damaged, TooNew
from lepton_ai.store.codecs import CODECS, decode, difference, native, planes, raw, sparse, tiles, zstd
from lepton_ai.store.codecs.choice import KEY_FRAME, SAMPLED, choose, full
from lepton_ai.store.codecs.contract import Element
from lepton_ai.store.codecs.elements import BYTES, ELEMENTS, element_of
from lepton_ai.testing.codecs import CodecSuite, elements, pairs

FLOAT, HALF = ELEMENTS["float32"], ELEMENTS["bfloat16"]


class Slowly(tiles.Tiles):
    """Written by the kernel, read without it."""

    def decode(self, *args: Any) -> bytearray:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiles, "kernel", lambda: None)
            return super().decode(*args)


class TestRaw(CodecSuite):
    codec = raw.CODEC


class TestZstd(CodecSuite):
    codec = zstd.CODEC


class TestPlanes(CodecSuite):
    codec = planes.CODEC


class TestDifference(CodecSuite):
    codec = difference.CODEC


class TestSparse(CodecSuite):
    codec = sparse.CODEC


class TestTiles(CodecSuite):
    codec = tiles.FULL


class TestTilesDifference(CodecSuite):
    codec = tiles.EDGE


class TestTilesReadSlowly(CodecSuite):
    codec = Slowly("tiles", 4, needs_base=False)


class TestTilesDifferenceReadSlowly(CodecSuite):
    codec = Slowly("tiles-difference", 5, needs_base=True)


def test_the_kernel_is_there() -> None:
    """It needs a C compiler; `make test` installs one, so that nobody tests the fallback only without noticing."""
    assert native.kernel() is not None, "no compiler found when the package was installed"


def test_every_codec_is_registered_under_its_own_number() -> None:
    assert {codec.name: (codec.number, codec.version) for codec in CODECS.values()} == {
        "raw": (0, 1),
        "zstd": (1, 1),
        "planes": (2, 1),
        "difference": (3, 1),
        "tiles": (4, 1),
        "tiles-difference": (5, 1),
        "sparse": (6, 1),
    }, "numbers are part of the format: append only"


def test_the_numbers_of_elements_are_part_of_the_format() -> None:
    assert [(e.number, e.width) for e in ELEMENTS.values()] == [
        (0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 4), (7, 4), (8, 8), (9, 8), (10, 2), (11, 2), (12, 4),
        (13, 8), (14, 4), (15, 8), (16, 1), (17, 1), (18, 1), (19, 1), (20, 1), (21, 1), (22, 1), (23, 1), (24, 1),
        (25, 1),
    ]  # fmt: skip
    assert element_of("gguf.Q4_K") == element_of("bytes") == BYTES


def test_unknown_codecs_and_versions_are_too_new() -> None:
    for number, version in ((250, 1), (raw.CODEC.number, 2), (raw.CODEC.number, 0)):
        with pytest.raises(TooNew):
            decode(number, version, b"", BYTES, None, 0)


def test_a_difference_without_a_base_is_damage() -> None:
    with pytest.raises(Damaged):
        decode(difference.CODEC.number, 1, b"", BYTES, None, 0)


@pytest.mark.parametrize("number", [planes.CODEC.number, difference.CODEC.number])
def test_a_width_that_does_not_exist_is_damage(number: int) -> None:
    frame = zstd.compress(bytes(12), zstd.LEVEL)
    for width in (0, 3, 16, 255):
        with pytest.raises(Damaged):
            decode(number, 1, frame, Element(12, width), bytes(12), 12)


def test_planes_as_the_specification_says() -> None:
    plain = bytes([i % 4 * 50 for i in range(4000)]) + b"odd"
    coded = planes.CODEC.encode(plain, FLOAT, None)
    sizes = struct.unpack("<4I", coded[:16])
    start = 16
    for k, size in enumerate(sizes):
        assert zstd.decompress(coded[start : start + size], 1000) == bytes([50 * k]) * 1000
        start += size
    assert coded[start:] == b"odd"
    short = planes.CODEC.encode(bytes(range(11)), FLOAT, None)
    assert short == struct.pack("<4I", 2, 2, 2, 2) + bytes([0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10])


def test_difference_as_the_specification_says() -> None:
    new = np.array([5, 0, 0x8000, 7], dtype="<u2").tobytes() + b"r"
    old = np.array([6, 0xFFFF, 0, 7], dtype="<u2").tobytes() + b"x"
    coded = difference.CODEC.encode(new, HALF, old)
    assert coded is not None  # -1, 1, -32768, 0 → zigzag 1, 2, 65535, 0
    assert coded == struct.pack("<2I", 4, 4) + bytes([1, 2, 255, 0, 0, 0, 255, 0]) + b"r"


def test_a_frame_of_any_zstd_encoder_is_read() -> None:
    """A stranger may write other parameters, as long as the frame carries its content size."""
    import zstandard

    plain = bytes(range(256)) * 100
    for level in (1, 9, 19):
        assert zstd.decompress(zstandard.ZstdCompressor(level=level).compress(plain), len(plain)) == plain
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(plain)
    with pytest.raises(Damaged):
        zstd.decompress(unsized, len(plain))


def _weights(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, count).astype(np.float32)


def _bf16(values: np.ndarray) -> bytes:
    return (values.view(np.uint32) >> 16).astype("<u2").tobytes()


@pytest.mark.parametrize("size", [SAMPLED // 2, 1 << 20])
def test_weights_become_tiles_or_planes(size: int, how: str) -> None:
    weights = _weights(size // 4)
    coded = full(weights.tobytes(), FLOAT)
    assert (coded.codec.name, coded.edge) == ("tiles" if how == "kernel" else "planes", False)
    assert len(coded.data) < 0.86 * size
    assert len(full(_bf16(weights), HALF).data) < (0.67 if how == "kernel" else 0.70) * size / 2


@pytest.mark.parametrize("size", [SAMPLED // 2, 1 << 20])
def test_a_fine_tune_becomes_an_edge(size: int, how: str) -> None:
    old = _weights(size // 4)
    new = old + _weights(size // 4, 1) * 1e-4
    coded = choose(new.tobytes(), FLOAT, old.tobytes())
    assert (coded.codec.name, coded.edge) == ("tiles-difference" if how == "kernel" else "difference", True)
    assert len(coded.data) < (0.50 if how == "kernel" else 0.55) * size


@pytest.mark.parametrize("size", [SAMPLED // 2, 1 << 20])
def test_few_changes_cost_little(size: int, how: str) -> None:
    old = np.frombuffer(_bf16(_weights(size // 2)), "<u2")
    places = np.random.default_rng(2).choice(len(old), len(old) // 100, replace=False)
    new = old.copy()
    new[places] += np.random.default_rng(3).choice([-1, 1], len(places)).astype("<u2")
    coded = choose(new.tobytes(), HALF, old.tobytes())
    assert (coded.codec.name, coded.edge) == ("tiles-difference" if how == "kernel" else "sparse", True)
    assert len(coded.data) < (0.008 if how == "kernel" else 0.01) * size + 200


def test_weight_decay_alone_costs_almost_nothing() -> None:
    """Where no gradient came, AdamW multiplies: every weight moves, and all by as much in proportion."""
    old = _weights(1 << 18)
    new = old.copy()
    for _ in range(40):
        new *= np.float32(1 - 2e-5 * 0.01)
    assert (new != old).mean() > 0.9
    coded = choose(new.tobytes(), FLOAT, old.tobytes())
    assert len(coded.data) < len(new) * 4 / 100


def test_the_fallback_reads_what_the_kernel_writes_bit_for_bit() -> None:
    """NaN payloads, infinities, denormals, zeros of both signs, in one block large enough for all lanes."""
    generator = np.random.default_rng(5)
    for element, words in (
        (FLOAT, "<u4"),
        (HALF, "<u2"),
        (ELEMENTS["float64"], "<u8"),
        (ELEMENTS["int64"], "<u8"),
    ):
        wide = np.dtype(words).itemsize * 8
        old = generator.integers(0, 1 << (wide - 1), 20_000, dtype=words, endpoint=True)
        new = old + generator.integers(0, 50, 20_000).astype(words)
        coded = tiles.EDGE.encode(new.tobytes(), element, old.tobytes())
        assert coded is not None
        codec = Slowly("tiles-difference", 5, needs_base=True)
        assert codec.decode(coded, 1, element, old.tobytes(), new.nbytes) == new.tobytes()


def test_an_expectation_may_miss_by_more_than_a_number_holds() -> None:
    """Tiles that all shrink and tiles that all grow, under one model: the fallback once lost the top bit."""
    generator = np.random.default_rng(0)
    old = generator.integers(0, 1 << 15, 12_800).astype("<u2")
    sign = np.where(np.arange(12_800) // 128 % 8 == 0, -1, 1)
    new = (old + generator.integers(15_000, 31_000, 12_800) * sign).astype("<u2")
    coded = tiles.EDGE.encode(new.tobytes(), HALF, old.tobytes())
    assert coded is not None
    assert coded[0] == 3, "it has a model"
    for codec in (tiles.EDGE, Slowly("tiles-difference", 5, needs_base=True)):
        assert codec.decode(coded, 1, HALF, old.tobytes(), new.nbytes) == new.tobytes()


@pytest.mark.parametrize("size", [4096, SAMPLED // 2, 1 << 20])
def test_unrelated_weights_become_a_key_frame(size: int) -> None:
    coded = choose(_weights(size // 4).tobytes(), FLOAT, _weights(size // 4, 1).tobytes())
    assert not coded.edge


def test_a_simple_block_is_no_edge_to_a_complicated_one() -> None:
    coded = choose(bytes(1 << 20), FLOAT, _weights(1 << 18).tobytes())
    assert not coded.edge
    assert len(coded.data) < 1000


def test_noise_stays_raw() -> None:
    noise = np.random.default_rng(0).bytes(1 << 20)
    for element in (BYTES, FLOAT):
        assert full(noise, element).codec is raw.CODEC


def test_text_and_repetitions_become_zstd() -> None:
    text = (Path(__file__).read_bytes() * 100)[: 1 << 20]
    assert full(text, BYTES).codec is zstd.CODEC
    assert full(text, FLOAT).codec is zstd.CODEC


@given(st.data(), elements)
def test_whatever_is_chosen_can_be_read(data: st.DataObject, element: Element) -> None:
    plain, base = data.draw(pairs(element.width))
    for given_base in (base, None, base[:-1]):
        coded = choose(plain, element, given_base)
        if coded.edge:
            assert len(coded.data) <= KEY_FRAME * len(full(plain, element).data)
        else:
            assert len(coded.data) <= len(plain)
        base_ = given_base if coded.edge else None
        codec = coded.codec
        assert decode(codec.number, codec.version, coded.data, element, base_, len(plain)) == plain


def test_importing_codecs_loads_nothing_heavy() -> None:
    for path in Path(lepton_ai.store.codecs.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not {"numpy", "zstandard"} & {*names, getattr(node, "module", "")}
