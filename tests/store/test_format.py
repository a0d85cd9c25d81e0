"""The layout of packs and objects is what docs/format.md says, byte by byte."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import Damaged, TooNew
from lepton_ai.store.contract import Run
from lepton_ai.store.packs.format import (
    HEAD_SIZE,
    HEADER_SIZE,
    LARGEST,
    LARGEST_HEADER,
    TRAILER_SIZE,
    Header,
    blob_name,
    headers,
    pack_name,
    unpack_header,
)
from lepton_ai.store.packs.reader import read_footer, scan
from lepton_ai.testing.mutations import mutate
from tests.store.house import House, noise, weights

BYTE, LENGTH = st.integers(0, 255), st.integers(0, LARGEST)
HEADERS = st.builds(
    Header, BYTE, BYTE, BYTE, BYTE, BYTE, BYTE, BYTE, st.binary(min_size=8, max_size=8), LENGTH, LENGTH,
    st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=32, max_size=32),
)  # fmt: skip


@given(HEADERS, st.binary(max_size=40))
def test_a_header_is_read_as_it_was_written(header: Header, before: bytes) -> None:
    packed = header.pack()
    assert len(packed) == header.header_size == (HEADER_SIZE if header.base is None else LARGEST_HEADER)
    assert unpack_header(before + packed + b"more", len(before)) == header


def test_the_header_as_the_specification_says() -> None:
    header = Header(1, 2, 3, 4, 5, 6, 7, b"key id..", 1000, 2000, b"i" * 32, b"b" * 32)
    expected = b"LpO\x01" + bytes([1, 1, 2, 3, 4, 5, 6, 7]) + b"key id.." + struct.pack("<II", 1000, 2000)
    assert header.pack() == expected + b"i" * 32 + b"b" * 32
    assert (HEADER_SIZE, LARGEST_HEADER) == (60, 92)


@given(HEADERS, st.integers(0, 91))
def test_a_cut_header_is_damage(header: Header, length: int) -> None:
    with pytest.raises(Damaged):
        unpack_header(header.pack()[: min(length, header.header_size - 1)])


def test_headers_of_later_formats_and_nonsense() -> None:
    packed = Header(0, 0, 0, 1, 1, 0, 0, bytes(8), 1, 17, bytes(32), None).pack()
    with pytest.raises(TooNew):
        unpack_header(b"LpO\x02" + packed[4:])
    for damaged in (b"LpX\x01" + packed[4:], b"LpO\0" + packed[4:], packed[:4] + b"\x02" + packed[5:]):
        with pytest.raises(Damaged):
            unpack_header(damaged)
    huge = packed[:20] + b"\xff" * 8 + packed[28:]
    with pytest.raises(Damaged):
        unpack_header(huge)


def test_a_pack_as_the_specification_says(house: House) -> None:
    """Read a real pack with nothing but struct and blake3."""
    house.tensor(weights(3000).tobytes() + b"odd")
    (path,) = house.packs()
    data = path.read_bytes()
    assert path.name == blake3(data).hexdigest() + ".pack"
    assert path.parent.name == path.name[:2]
    assert path.parent.parent.name == "packs"
    assert data[:8] == b"LpPack\x01\x00"
    length, count, digest, tail = struct.unpack("<QQ32s8s", data[-56:])
    assert (tail, count) == (b"LpFoot\x01\x00", 3)
    footer = data[-56 - length : -56]
    assert blake3(footer).digest() == digest
    assert footer[:8] == b"LpToc\0\x01\x00"
    place, entry = 16, 8
    for plain_length in (4096, 4096, 3811):
        assert data[place : place + 4] == b"LpO\x01"
        assert data[place : place + 60] == footer[entry : entry + 60]
        plain, body = struct.unpack_from("<II", data, place + 20)
        assert plain == plain_length
        place, entry = place + 60 + body, entry + 60
    assert place == len(data) - 56 - length
    assert entry == len(footer)


def _pack(house: House) -> tuple[str, Path]:
    _, written = house.tensor(weights(10_000).tobytes())
    return written.packs[0], house.file(written.packs[0])


def test_the_footer_lists_what_a_scan_finds(sealed: House) -> None:
    name, path = _pack(sealed)
    size = path.stat().st_size
    entries = list(headers(read_footer(sealed.blobs, name, size)))
    assert len(entries) == 10
    assert list(scan(sealed.blobs, name, size)) == entries
    assert entries[0][0] == HEAD_SIZE == 16


def test_a_long_footer_is_read_as_well(sealed: House) -> None:
    data = noise(4 * 2000)
    _, written = sealed.save(data, [Run(4, f"t{i}", "float32") for i in range(2000)])
    size = sealed.file(written.packs[0]).stat().st_size
    assert len(list(headers(read_footer(sealed.blobs, written.packs[0], size)))) == 2000


@pytest.mark.parametrize("cut", [1, 10, TRAILER_SIZE, TRAILER_SIZE + 1, 700, 2000])
def test_a_cut_pack_is_damage_that_names_it_and_the_rest_is_found(sealed: House, cut: int) -> None:
    name, path = _pack(sealed)
    whole = list(scan(sealed.blobs, name, path.stat().st_size))
    path.write_bytes(path.read_bytes()[:-cut])
    size = path.stat().st_size
    with pytest.raises(Damaged, match=name):
        read_footer(sealed.blobs, name, size)
    found = list(scan(sealed.blobs, name, size))
    assert found == [(o, h) for o, h in whole if o + h.size <= size]


def test_a_pack_of_a_later_format_is_too_new(sealed: House) -> None:
    name, path = _pack(sealed)
    path.write_bytes(path.read_bytes()[:-2] + b"\x02\x00")
    with pytest.raises(TooNew):
        read_footer(sealed.blobs, name, path.stat().st_size)


def test_mutated_packs_never_do_anything_but_raise_damaged(sealed: House) -> None:
    name, path = _pack(sealed)
    whole, rng = path.read_bytes(), random.Random(1)
    for _ in range(300):
        data = mutate(whole, rng)
        path.write_bytes(data)
        list(scan(sealed.blobs, name, len(data)))
        try:
            footer = read_footer(sealed.blobs, name, len(data))
        except (Damaged, TooNew):
            continue
        assert len(list(headers(footer))) == 10, "the damage is in an object, not in the footer"


def test_names() -> None:
    name = "ab" * 32
    assert blob_name(name) == f"packs/ab/{name}.pack"
    assert pack_name(blob_name(name)) == name
    for other in (f"packs/cd/{name}.pack", "packs/ab/abcd.pack", "packs/ab/x", name, "", f"x/ab/{name}.pack"):
        assert pack_name(other) is None
