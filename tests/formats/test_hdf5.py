"""HDF5 files of h5py's, byte for byte where h5py says they are; and lies."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import time
import zlib
from collections import Counter

import h5py
import ml_dtypes
import numpy as np
import pytest
from h5py import h5t
from tests.formats import hdf5_files as files

from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Tensor, check_partition
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.hdf5 import FORMAT
from lepton_ai.formats.hdf5_file import messages
from lepton_ai.formats.hdf5_file.access import Access, Cursor
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors, try_mutation

pytestmark = pytest.mark.frameworks

VERSIONS = [{}, {"libver": "latest"}, {"libver": ("v108", "v108")}, {"libver": ("v110", "v110")}]


def layout(data: bytes) -> Layout:
    return FORMAT.layout("model.h5", BytesSource(data), {})


def tensors(data: bytes) -> dict[str, Array]:
    return dict(read_tensors({"model.h5": BytesSource(data)}, "model.h5", layout(data)))


def assert_same(data: bytes) -> None:
    """All that h5py finds is found, and nothing else."""
    found, expected = tensors(data), files.truth(data)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        assert found[name].dtype == array.dtype, name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    data = {
        "plain.h5": files.write(files.every_type, files.shapes, files.links),
        "plain_latest.hdf5": files.write(files.every_type, files.shapes, files.links, libver="latest"),
        "chunks.h5": files.write(files.chunks),
        "chunks_latest.h5": files.write(files.chunks, libver="latest"),
        "ordered.weights.h5": files.write(files.many(9, track_order=True)),
        "dense.weights.h5": files.write(files.many(60, track_order=True), libver="latest"),
        "userblock.mat": files.write(files.shapes, userblock_size=512),
    }
    return [Sample({name: content}, name, files.truth(content)) for name, content in data.items()]


@pytest.fixture
def reader() -> object:
    return FORMAT


class TestHDF5(FormatSuite):
    """The suite that every reader passes."""


@pytest.mark.parametrize("options", VERSIONS, ids=str)
def test_every_version_of_the_format(options: dict[str, object]) -> None:
    assert_same(files.write(files.every_type, files.shapes, files.links, files.chunks, **options))


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
def test_paged_chunk_indexes(options: dict[str, object]) -> None:
    assert_same(files.write(files.pages, **options))


def test_all_kinds_of_storage_are_in_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    original = messages.read_place

    def spy(cursor: Cursor, address: int) -> messages.Place:
        place = original(cursor, address)
        seen[place.kind, place.lister] += 1
        return place

    monkeypatch.setattr(messages, "read_place", spy)
    layout(files.write(files.shapes, files.chunks, libver="latest"))
    layout(files.write(files.chunks))
    chunked = {(messages.CHUNKED, lister) for lister in range(6)}
    assert set(seen) == chunked | {(messages.COMPACT, 0), (messages.CONTIGUOUS, 0)}


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("count", [0, 1, 8, 9, 60, 600, 4000])
def test_groups_of_any_size(count: int, track_order: bool, options: dict[str, object]) -> None:
    data = files.write(files.many(count, track_order=track_order), **options)
    assert len(tensors(data)) == count
    if count <= 600:
        assert_same(data)


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"userblock_size": 2048}], ids=str)
def test_extents_are_where_h5py_says(options: dict[str, object]) -> None:
    data = files.write(files.every_type, files.shapes, files.chunks, **options)
    compared = 0
    with h5py.File(io.BytesIO(data)) as file:
        for tensor in layout(data).tensors:
            identity = file[tensor.name].id
            if file[tensor.name].chunks is None:
                offset, size = identity.get_offset(), identity.get_storage_size()
                if tensor.name == "compact":  # in its header, which h5py does not tell
                    offset = tensor.extents[0].offset
                expected = {(offset, size)} if size and tensor.extents else set()
            else:
                count = identity.get_num_chunks()
                infos = [identity.get_chunk_info(number) for number in range(count)]
                expected = {(info.byte_offset, info.size) for info in infos}
            compared += bool(expected)
            assert {(extent.offset, extent.length) for extent in tensor.extents} == expected, tensor.name
    assert compared > 35


def test_segments_are_the_raw_bytes() -> None:
    data = files.write(files.shapes, files.chunks)
    segments = {segment.tensor: segment for segment in layout(data).segments}
    deep = segments["deep/er/and/deeper"]
    assert data[deep.offset : deep.offset + deep.length] == np.arange(24.0).tobytes()
    assert deep.dtype == "float64"
    assert segments["chunks/fixed#8"].dtype == "float32"
    assert segments["chunks/fixed_packed#8"].dtype == "bytes"
    first = segments["chunks/fixed"]
    assert data[first.offset : first.offset + 48] == files.BOX[:4, :3].tobytes()


def test_big_endian_numbers_are_not_announced_as_little_ones() -> None:
    data = files.write(lambda f: f.update({"a": np.ones(3, ">f4"), "b": np.ones(3, ">c16")}))
    assert {s.tensor: s.dtype for s in layout(data).segments if s.tensor} == {"a": "uint32", "b": "uint64"}


def test_hard_links_share_one_segment() -> None:
    found = layout(files.write(files.links))
    names = {"again", "group/inside/data", "group/twice"}
    assert {tensor.name for tensor in found.tensors} == names
    assert len({tensor.extents for tensor in found.tensors}) == 1
    assert sum(segment.tensor in names for segment in found.segments) == 1


def test_runs_never_take_another_datasets_name() -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("w", data=np.arange(4), chunks=(1,))
        file["w#1"] = np.arange(3)

    data = files.write(fill)
    assert_same(data)
    names = [segment.tensor for segment in layout(data).segments if segment.tensor]
    assert sorted(names) == ["w", "w#1", "w#2", "w#3", "w#4"]


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
def test_what_is_no_tensor_stays_opaque_and_costs_nobody_else(options: dict[str, object]) -> None:
    data = files.write(files.opaque, files.shapes, **options)
    found = tensors(data)
    assert not [name for name in found if name.startswith("opaque")]
    assert found["deep/er/and/deeper"].shape == (2, 3, 4)


@pytest.mark.parametrize("code", ["<", ">"])
def test_bfloat16_as_a_floating_point_type(code: str) -> None:
    values = np.arange(-4, 5).astype(ml_dtypes.bfloat16)
    words = values.view(np.uint16).astype(f"{code}u2")

    def fill(file: h5py.File) -> None:
        kind = h5t.IEEE_F32LE.copy() if code == "<" else h5t.IEEE_F32BE.copy()
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
        kind.set_ebias(127)
        files.low_level(file, "x", kind, values.shape, None, lambda p: p.set_layout(h5py.h5d.CONTIGUOUS))
        file["mark"] = words

    data = bytearray(files.write(fill))
    described = next(t for t in layout(bytes(data)).tensors if t.name == "x")
    assert (described.dtype, described.encoding) == ("bfloat16", "chunked")
    raw = Tensor("x", "bfloat16", values.shape, (), "raw", {"byteorder": "big"} if code == ">" else {})
    assert decode(raw, [words.tobytes()]).tobytes() == values.tobytes()


def test_layout_messages_of_hdf5_1_4() -> None:
    """No library writes version 1 any more."""
    access = Access(BytesSource(b""), 0, 8, 8)

    def place(kind: int, body: bytes, rank: int = 2) -> messages.Place:
        return messages.read_place(Cursor(bytes([1, rank, kind]) + bytes(5) + body), 1000)

    assert access.size == 0
    extents = struct.pack("<2I", 4, 5)
    assert place(1, struct.pack("<Q", 77) + extents) == messages.Place(messages.CONTIGUOUS, 77)
    assert place(0, extents + struct.pack("<I", 3) + b"abc") == messages.Place(messages.COMPACT, 1020, 3)
    chunk = struct.pack("<Q3I", 88, 4, 5, 8)
    assert place(2, chunk, rank=3) == messages.Place(messages.CHUNKED, 88, chunk=(4, 5, 8))


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


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
def test_cut_anywhere_is_refused(options: dict[str, object]) -> None:
    data = files.write(files.shapes, **options)
    for end in (*range(200), *range(200, len(data), 97)):
        with pytest.raises(Malformed):
            layout(data[:end])


def test_every_byte_of_a_small_file_may_lie() -> None:
    """Each byte replaced by a few others: understood or refused, quickly."""
    for data in (files.write(files.many(3)), files.write(files.many(9), libver="latest")):
        for place in range(min(len(data), 2500)):
            for value in (0, 1, 0x7F, 0xFF):
                lying = bytearray(data)
                lying[place] = value
                start = time.perf_counter()
                with contextlib.suppress(Malformed):
                    check_partition(layout(bytes(lying)).segments, len(data))
                assert time.perf_counter() - start < 1


def test_paged_indexes_may_lie_too() -> None:
    sample = Sample({"x.h5": files.write(files.pages, libver="latest")}, "x.h5")
    rng = random.Random(3)
    understood = sum(try_mutation(FORMAT, sample, rng) for _ in range(60))
    assert 0 < understood < 60


def test_claims_by_signature_only() -> None:
    data = files.write(files.shapes, userblock_size=1024)
    assert FORMAT.claims("anything", data[:4096])
    assert not FORMAT.claims("model.h5", bytes(4096))
    assert not FORMAT.claims("model.h5", b"")
