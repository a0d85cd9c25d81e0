"""What every codec promises, and strategies for the bytes of tensors."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Codec, Element
from lepton_ai.store.codecs.elements import ELEMENTS

_INHERITED = settings(suppress_health_check=[HealthCheck.differing_executors], deadline=None)
"""A suite is there to be run by several classes; and timing is no promise of it."""

_SPECIAL = {
    2: [0x0000, 0x8000, 0x0001, 0x7C00, 0xFC00, 0x7E01, 0x7F80, 0x7FC1, 0xFFFF, 0x3F80],
    4: [0, 1 << 31, 1, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7FA0DEAD, 0x007FFFFF, 0xFFFFFFFF, 0x3F800000],
    8: [0, 1 << 63, 1, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8000000000001, 0x000FFFFFFFFFFFFF, (1 << 64) - 1],
}
"""Bit patterns: zeros of both signs, denormals, infinities, NaNs with payloads."""

elements = st.sampled_from(sorted(set(ELEMENTS.values())))


@st.composite
def blocks(draw: st.DrawFn, width: int) -> bytes:
    """Bytes of a tensor of numbers of ``width`` bytes: noise, runs, special values, odd ends, nothing."""
    parts = draw(st.lists(_part(width), max_size=4))
    rest = draw(st.binary(max_size=width))
    return b"".join(parts) + rest


def _part(width: int) -> st.SearchStrategy[bytes]:
    kinds = [
        st.binary(max_size=200),
        st.builds(lambda b, n: b * n, st.binary(min_size=1, max_size=9), _counts),
    ]
    if width in _SPECIAL:
        numbers = st.lists(st.sampled_from(_SPECIAL[width]), max_size=50)
        code = {2: "H", 4: "I", 8: "Q"}[width]
        kinds.append(numbers.map(lambda values: struct.pack(f"<{len(values)}{code}", *values)))
    return st.one_of(kinds)


_counts = st.integers(0, 500)


@st.composite
def pairs(draw: st.DrawFn, width: int) -> tuple[bytes, bytes]:
    """A block and a base of equal length: unrelated, equal, or with some numbers moved a little."""
    plain = draw(blocks(width))
    how = draw(st.sampled_from(["equal", "noise", "moved"]))
    if how == "equal":
        return plain, plain
    if how == "noise":
        return plain, draw(st.binary(min_size=len(plain), max_size=len(plain)))
    base = bytearray(plain)
    for place in draw(st.lists(st.integers(0, max(0, len(base) - 1)), max_size=20)):
        if base:
            base[place] = (base[place] + draw(st.integers(1, 255))) % 256
    return plain, bytes(base)


class CodecSuite:
    """Subclass it, and set ``codec``."""

    codec: Codec

    def round_trip(self, plain: bytes, element: Element, base: bytes | None) -> None:
        """Encode and decode; a codec may decline."""
        data = self.codec.encode(plain, element, base)
        if data is not None:
            result = self.codec.decode(data, self.codec.version, element, base, len(plain))
            assert bytes(result) == plain

    def test_it_has_a_name_and_numbers(self) -> None:
        """They stand in every object's header, in one byte each."""
        assert self.codec.name
        assert 0 <= self.codec.number < 256
        assert 1 <= self.codec.version < 256

    @_INHERITED
    @given(st.data(), elements)
    def test_decoding_gives_back_what_was_encoded(self, data: st.DataObject, element: Element) -> None:
        """Second law, for every element type and any bytes."""
        plain, base = data.draw(pairs(element.width))
        self.round_trip(plain, element, base)
        if not self.codec.needs_base:
            self.round_trip(plain, element, None)

    @pytest.mark.parametrize("element", sorted(set(ELEMENTS.values())), ids=str)
    def test_short_and_odd_lengths(self, element: Element) -> None:
        """Nothing, one byte, and every length around the numbers' width."""
        for length in range(3 * element.width + 2):
            plain = bytes(range(200, 200 + length))
            self.round_trip(plain, element, bytes(reversed(plain)))

    @_INHERITED
    @given(st.data(), elements)
    def test_views_serve_as_well_as_bytes(self, data: st.DataObject, element: Element) -> None:
        """Blocks come as unaligned slices of larger buffers, and are not changed."""
        plain, base = data.draw(pairs(element.width))
        room, base_room = b"x" + plain + b"y", bytearray(b"xyz" + base)
        view, base_view = memoryview(room)[1:-1], memoryview(base_room)[3:]
        coded = self.codec.encode(view, element, base_view)
        assert coded == self.codec.encode(plain, element, base)
        if coded is not None:
            again = self.codec.decode(memoryview(coded), self.codec.version, element, base_view, len(plain))
            assert bytes(again) == plain
        assert base_room == b"xyz" + base

    def test_a_base_is_asked_for_or_not_needed(self) -> None:
        """Without a base of equal length a codec of differences declines to encode and refuses to decode."""
        element, plain = ELEMENTS["float32"], bytes(range(256)) * 16
        near = plain[:400] + bytes([1, 2, 3, 4]) + plain[404:]
        if not self.codec.needs_base:
            assert self.codec.encode(plain, element, None) == self.codec.encode(plain, element, near)
            return
        assert self.codec.encode(plain, element, None) is None
        assert self.codec.encode(plain, element, near[:-4]) is None
        data = self.codec.encode(plain, element, near)
        assert data is not None
        for base in (None, b"", near[:-4], near + bytes(4)):
            with pytest.raises(Damaged):
                self.codec.decode(data, self.codec.version, element, base, len(plain))

    @_INHERITED
    @given(st.data(), elements, st.integers(0, 2**32))
    def test_damaged_bytes_are_refused_or_give_the_right_length(
        self, data: st.DataObject, element: Element, noise: int
    ) -> None:
        """Nothing but Damaged comes out, and never another number of bytes. (The id then tells wrong ones.)"""
        plain, base = data.draw(pairs(element.width))
        coded = bytearray(self.codec.encode(plain, element, base) or b"")
        if coded:
            coded[noise % len(coded)] ^= 1 + noise % 255
        for damaged in (bytes(coded), bytes(coded[: noise % (len(coded) + 1)]), b"", coded + b"more"):
            try:
                result = self.codec.decode(damaged, self.codec.version, element, base, len(plain))
            except Damaged:
                continue
            assert len(result) == len(plain)

    def test_a_bomb_does_not_explode(self) -> None:
        """Data that would decode to far more than is due is refused before memory is taken for it."""
        bomb = zstandard.ZstdCompressor(level=1).compress(bytes(64 << 20))
        liar = zstandard.ZstdCompressor(level=1).compress(bytes(1000))
        element, base = ELEMENTS["float32"], bytes(1000)
        tracemalloc.start()
        try:
            for data in (bomb, bomb[:999], liar[:4] + b"\xff" * 8 + liar[12:]):
                with pytest.raises(Damaged):
                    self.codec.decode(data, self.codec.version, element, base, 1000)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
