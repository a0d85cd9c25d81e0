"""Checksums, against those of zlib and of other people's examples."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.formats.contract import BytesSource
from lepton_ai.formats.splice import crc32c as module
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.crc32 import crc32, edited_crc32
from lepton_ai.formats.splice.crc32c import ROW, crc32c, masked_of
from lepton_ai.formats.splice.edited import Edited

PATIENT = settings(deadline=None)


@PATIENT
@given(st.binary(min_size=1, max_size=2000), st.data())
def test_the_checksum_of_edited_bytes_is_that_of_the_whole(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), min_size=2, max_size=6)))
    edits = [
        Edit(a, b - a, BytesSource(draw.draw(st.binary(min_size=b - a, max_size=b - a + 1))))
        for a, b in zip(cuts[::2], cuts[1::2], strict=False)
        if b > a
    ]
    edits.append(Edit(len(data), 0, BytesSource(draw.draw(st.binary(max_size=9)))))
    base = BytesSource(data)
    new = Edited(base, edits)
    assert edited_crc32(zlib.crc32(data), base, edits) == zlib.crc32(new.read(0, new.size)) == crc32(new)


def test_a_checksum_of_which_a_part_changed_reads_that_part_only() -> None:
    class Counting(BytesSource):
        read_bytes = 0

        def read(self, offset: int, length: int) -> bytes:
            self.read_bytes += length
            return super().read(offset, length)

    data = random.Random(1).randbytes(5_000_000)
    base, new = Counting(data), BytesSource(b"new" * 100)
    expected = zlib.crc32(data[:1000] + b"new" * 100 + data[1300:])
    assert edited_crc32(zlib.crc32(data), base, [Edit(1000, 300, new)]) == expected
    assert base.read_bytes == 300


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43),
     (bytes(range(32)), 0x46DD794E)],
)  # fmt: skip
def test_castagnolis_checksum_is_that_of_the_rfc(data: bytes, expected: int) -> None:
    assert crc32c(BytesSource(data)) == expected


@pytest.mark.parametrize(
    "size", [*range(1, 40), *(n * ROW + more for n in (1, 2, 5) for more in range(-1, 6))]
)
def test_castagnolis_checksum_is_the_same_in_rows_and_byte_by_byte(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc32c(BytesSource(data)) == module._bytewise(data)


def test_a_masked_checksum_is_leveldbs() -> None:
    assert masked_of(b"foo") != crc32c(BytesSource(b"foo"))
    crc = crc32c(BytesSource(b"foo"))
    rotated = (masked_of(b"foo") - 0xA282EAD8) & 0xFFFFFFFF
    assert (rotated >> 17 | rotated << 15) & 0xFFFFFFFF == crc
