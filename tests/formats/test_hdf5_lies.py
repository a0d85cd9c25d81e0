"""HDF5 files that lie: refused, at once, and within the file's means."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import zlib
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5t

from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Tensor, check_partition
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.hdf5 import FORMAT
from lepton_ai.formats.hdf5_file.access import Unreadable
from lepton_ai.formats.hdf5_file.datatypes import read_datatype
from lepton_ai.testing.formats import Array, Sample, read_tensors, try_mutation
from tests.formats import hdf5_files as files

pytestmark = pytest.mark.frameworks

VERSIONS = [{}, {"libver": "latest"}]


def layout(data: bytes) -> Layout:
    return FORMAT.layout("model.h5", BytesSource(data), {})


def tensors(data: bytes) -> dict[str, Array]:
    return dict(read_tensors({"model.h5": BytesSource(data)}, "model.h5", layout(data)))


def packed_by_hand(data: bytes, mask: int = 0) -> bytes:
    """A file whose single chunk of ten int32 is ``data``, said to be shuffled and deflated."""

    def fill(file: h5py.File) -> None:
        options = {"compression": "gzip", "shuffle": True}
        dataset = file.create_dataset("x", (10,), "i4", chunks=(10,), **options)
        dataset.id.write_direct_chunk((0,), data, filter_mask=mask)

    return files.write(fill)


def test_filters_that_a_chunk_skipped() -> None:
    numbers = np.arange(10, dtype=np.int32)
    for mask, data in ((1, zlib.compress(numbers.tobytes())), (3, numbers.tobytes())):
        assert tensors(packed_by_hand(data, mask))["x"].tolist() == list(range(10))


@pytest.mark.parametrize("data", [zlib.compress(bytes(100_000)), zlib.compress(bytes(39)), b"junk" * 8, b"x"])
def test_chunks_that_do_not_inflate_to_their_size(data: bytes) -> None:
    with pytest.raises(Malformed):
        tensors(packed_by_hand(data))


def test_a_flipped_bit_is_seen_by_the_checksum() -> None:
    data = files.write(lambda f: f.create_dataset("x", data=np.arange(9), chunks=(9,), fletcher32=True))
    extent = layout(data).tensors[0].extents[0]
    for place in range(extent.offset, extent.offset + extent.length, 7):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(Malformed, match="checksum"):
            tensors(bytes(damaged))


def test_an_unknown_filter_is_named_when_the_tensor_is_read() -> None:
    data = files.write(lambda f: f.create_dataset("x", data=np.zeros(5000), chunks=(500,), compression="lzf"))
    found = layout(data)
    assert [tensor.name for tensor in found.tensors] == ["x"]
    with pytest.raises(Malformed, match="lzf"):
        tensors(data)


def test_reads_and_decodes_within_the_files_means() -> None:
    """A dataset of nothing but its fill value is taken up to a size; what is stored may inflate a thousandfold."""

    def fill(file: h5py.File) -> None:
        file.create_dataset("small", (1 << 23,), "f8")
        file.create_dataset("large", ((1 << 23) + 1,), "f8")
        file.create_dataset("zeros", data=np.zeros(1 << 24, "u1"), chunks=(1 << 20,), compression="gzip")

    data = files.write(fill)
    assert len(data) < 50_000
    assert {tensor.name for tensor in layout(data).tensors} == {"small", "zeros"}
    assert not tensors(data)["zeros"].any()


def test_many_links_do_not_multiply_one_small_dataset() -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("x", (1 << 23,), "f8")
        for number in range(50):
            file[f"y{number}"] = file["x"]

    with pytest.raises(Malformed, match="claim to hold"):
        layout(files.write(fill))


def test_groups_too_deep() -> None:
    with pytest.raises(Malformed, match="deep"):
        layout(files.write(lambda f: f.create_group("/".join("g" * 150))))


def test_a_tree_that_contains_itself() -> None:
    data = bytearray(files.write(files.many(600)))
    root = data.index(b"TREE\0\1")
    struct.pack_into("<Q", data, root + 32, root)
    with pytest.raises(Malformed):
        layout(bytes(data))


@pytest.mark.parametrize("options", VERSIONS, ids=str)
def test_cut_anywhere_is_refused(options: dict[str, object]) -> None:
    data = files.write(files.shapes, **options)
    for end in (*range(200), *range(200, len(data), 97)):
        with pytest.raises(Malformed):
            layout(data[:end])


def test_every_byte_of_a_small_file_may_lie() -> None:
    """Each byte replaced by a few others: understood or refused, quickly."""
    for data in (files.write(files.many(3)), files.write(files.many(9), libver="latest")):
        for place in range(min(len(data), 1800)):
            for value in (0, 1, 0xFF):
                lying = bytearray(data)
                lying[place] = value
                start = time.process_time()
                with contextlib.suppress(Malformed):
                    check_partition(layout(bytes(lying)).segments, len(data))
                assert time.process_time() - start < 1


def test_paged_indexes_may_lie_too() -> None:
    sample = Sample({"x.h5": files.write(files.pages, libver="latest")}, "x.h5")
    rng = random.Random(3)
    understood = sum(try_mutation(FORMAT, sample, rng) for _ in range(60))
    assert 0 < understood < 60


def test_a_compound_of_compounds_of_compounds() -> None:
    """64 KiB of one type within the other, each calling its first member r."""
    level = b"\x36\x02\0\0" + struct.pack("<I", 8) + b"r\0\0"
    with pytest.raises(Unreadable):
        read_datatype(level * 6000)


def header_of(body: bytes) -> bytes:
    """A file whose root's object header has ``body`` for its messages."""
    header = b"OHDR\2\3" + struct.pack("<Q", len(body)) + body + bytes(4)
    numbers = struct.pack("<4Q", 0, 2**64 - 1, 48 + len(header), 48)
    return b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + numbers + bytes(4) + header


def message_of(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<H", len(body)) + b"\0" + body


def test_headers_of_millions_of_parts_are_refused_at_once() -> None:
    link = message_of(6, b"\1\0\1a" + struct.pack("<Q", 48))
    assert layout(header_of(link)).tensors == ()
    for part in (bytes(4), message_of(12, b""), link):
        data = header_of(part * (8_000_000 // len(part)))
        start = time.process_time()
        with pytest.raises(Malformed):
            layout(data)
        assert time.process_time() - start < 2


@pytest.mark.parametrize("width", [0, 1, 4, 11, 12, 200, 65535])
def test_records_of_odd_widths(width: int) -> None:
    """The tree of a group's names, and those of chunks, with records wider or narrower than what they hold."""
    names, chunked = files.write(files.many(9), libver="latest"), files.write(files.chunks, libver="latest")
    for data, kind in ((names, 5), (chunked, 10), (chunked, 11)):
        lying = bytearray(data)
        place = lying.index(b"BTHD\0" + bytes([kind]))
        was = struct.unpack_from("<H", lying, place + 10)[0]
        struct.pack_into("<H", lying, place + 10, width)
        assert width != was or layout(bytes(lying)).tensors
        if width != was:
            with pytest.raises(Malformed):
                layout(bytes(lying))


def test_more_chunks_than_a_model_has() -> None:
    """A quarter of a million chunks of a byte each, without an index: left opaque, the others are read."""

    def fill(file: h5py.File) -> None:
        def early(properties: Any) -> None:
            properties.set_chunk((1,))
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)

        files.low_level(file, "crumbs", h5t.NATIVE_UINT8, (250_000,), None, early)
        file["x"] = np.arange(3)

    assert set(tensors(files.write(fill, libver="latest"))) == {"x"}


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"chunk": [0]},
        {"chunk": [2, 2]},
        {"chunk": ["2"]},
        {"chunk": [2], "numbers": [0]},
        {"chunk": [2], "numbers": [0, 2]},
        {"chunk": [2], "numbers": [0, -1]},
        {"chunk": [2], "skipped": [1]},
        {"chunk": [2], "fill": "00ff"},
        {"chunk": [3]},
        {"chunk": [2], "filters": [["unheard of"]]},
        {"chunk": [2], "filters": [["fletcher32"]]},
    ],
    ids=str,
)
def test_chunks_that_do_not_fit_their_description(args: dict[str, Any]) -> None:
    assert (
        decode(Tensor("x", "uint8", (4,), (), "chunked", {"chunk": [2]}), [b"ab", b"cd"]).tobytes() == b"abcd"
    )
    with pytest.raises(Malformed):
        decode(Tensor("x", "uint8", (4,), (), "chunked", args), [b"ab", b"cd"])


def test_a_description_cannot_ask_for_more_than_the_bytes_can_hold() -> None:
    with pytest.raises(Malformed, match="of which 1 are stored"):
        decode(Tensor("x", "uint8", (1 << 40,), (), "chunked", {"chunk": [1]}), [b"a"])
