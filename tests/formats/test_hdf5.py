"""HDF5 files of h5py's, byte for byte where h5py says they are; and lies."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import h5py
import ml_dtypes
import numpy as np
import pytest
from h5py import h5t

from lepton_ai.formats.contract import BytesSource, Layout, Tensor
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.hdf5 import FORMAT
from lepton_ai.formats.hdf5_file import messages
from lepton_ai.formats.hdf5_file.access import Access, Cursor
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite
from tests.formats import hdf5_files as files
from tests.formats.hdf5_files import truth

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


class TestHDF5(FormatSuite, MergeSuite):
    """The suite that every reader passes."""

    refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("never", "never_big", "never_zero", "chunks/sparse"), "never written"),
    }

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What h5py finds; libhdf5 compares the checksums of metadata and of chunks that have one."""
        return truth(files[main])


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


def test_claims_by_signature_only() -> None:
    data = files.write(files.shapes, userblock_size=1024)
    assert FORMAT.claims("anything", data[:4096])
    assert not FORMAT.claims("model.h5", bytes(4096))
    assert not FORMAT.claims("model.h5", b"")
