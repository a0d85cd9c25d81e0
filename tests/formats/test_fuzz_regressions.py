"""Every finding of the fuzzer and of the hostile reading that went with it, as the smallest file that showed it.

Each of these took seconds, hundreds of megabytes or an exception of the wrong kind before it was mended.
"""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest
from h5py import h5d, h5t

from lepton_ai.formats import detect
from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import BytesSource, Malformed, Tensor
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.hdf5_file import fractal_heap, messages
from lepton_ai.formats.hdf5_file.access import Cursor
from lepton_ai.testing.formats import CountingSource
from lepton_ai.testing.fuzzing import Limits, Outcome, examine
from lepton_ai.testing.structure.protobuf import varint
from lepton_ai.testing.structure.tables import Block, Entry, Table, write
from lepton_ai.testing.structure.zip_parts import DEFLATED, Archive, Part, put_together
from tests.formats import hdf5_files

pytestmark = pytest.mark.frameworks

READERS = {reader.name: reader for reader in detect.formats()}
SLOW = Limits(seconds=60)
"""For what is measured by tracemalloc, which takes eight times as long."""


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def read(reader: str, files: Mapping[str, bytes]) -> Outcome:
    """The outcome, within the limits of time and memory; the first file is the one to read."""
    outcome = examine(READERS[reader], files, next(iter(files)), Limits(seconds=5))
    tracemalloc.start()
    try:
        examine(READERS[reader], files, next(iter(files)), SLOW)
    finally:
        tracemalloc.stop()
    return outcome


def zipped(**members: bytes) -> bytes:
    parts = [Part(name.replace("__", "/").replace("_", ".").encode(), data) for name, data in members.items()]
    return put_together(Archive(parts))


def deflated(name: bytes, data: bytes) -> bytes:
    return put_together(Archive([Part(name, data, DEFLATED)]))


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + data


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00K\x04\x85K\x01\x85\x89N" + b"tR"


def pickled(opcodes: bytes, method: int = 0) -> bytes:
    """torch's archive around a pickle."""
    parts = [Part(b"m/data.pkl", b"\x80\x02" + opcodes + b".", method), Part(b"m/data/0", bytes(16))]
    return put_together(Archive(parts))


# --- pickles -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcodes", [b"]", b"\x94", b"]]a", b"c\n\n", b"N)R", b"q\x00h\x00"])
def test_a_deflated_pickle_is_worth_its_file_only(opcodes: bytes) -> None:
    """4 KB of file made a pickle of a megabyte and of it 100 MB of values, or four million steps."""
    outcome = read("pt", {"m.pt": pickled(b"N" + opcodes * (1_000_000 // len(opcodes)), DEFLATED)})
    assert "a pickle" in outcome.refusal


def test_a_deflated_member_that_is_looked_into_is_not_inflated_to_64_mib() -> None:
    outcome = read("pt", {"m.pt": pickled(b"N" + bytes(30_000_000), DEFLATED)})
    assert "has 30000004 bytes" in outcome.refusal


def test_one_tensor_with_a_million_names() -> None:
    data = pickled(b"]q\x00(" + TENSOR + b"q\x01" + b"h\x01" * 60_000 + b"e")
    assert "more tensors than" in read("pt", {"m.pt": data}).refusal
    few = pickled(b"]q\x00(" + TENSOR + b"q\x01" + b"h\x01" * 50 + b"e")
    assert read("pt", {"m.pt": few}).understood


def test_pickles_in_one_file_share_what_they_may_cost() -> None:
    """Each of a thousand small archives within a program may not take as long as one may."""
    inner = put_together(Archive([Part(b"m/data.pkl", b"\x80\x02" + b"N0" * 90_000 + b"N.", DEFLATED)]))
    members = {f"m/data/weights/{n}.pt".encode(): inner for n in range(12)}
    parts = [Part(b"m/archive_format", b"pt2"), *(Part(name, data) for name, data in members.items())]
    assert "opcodes" in read("pt", {"m.pt2": put_together(Archive(parts))}).refusal
    assert read("pt", {"m.pt2": put_together(Archive(parts[:3]))}).understood
    config = b'{"config":{}}'
    parts[1:] = [Part(b"m/data/weights/%d_weights_config.json" % n, config) for n in range(200)]
    assert "200 configurations" in read("pt", {"m.pt2": put_together(Archive(parts))}).refusal


# --- skops and JSON ------------------------------------------------------------------------------------------


def test_a_long_key_with_many_things_below_it() -> None:
    """Paths were made before they were counted: a file of 1 MB took 6 GB."""
    schema = json.dumps({"k" * 200_000: [[]] * 5000}).encode()
    assert "longer than it can account for" in read("skops", {"m.skops": zipped(schema_json=schema)}).refusal


def test_a_deflated_schema_that_explodes() -> None:
    """21 KB of file took 400 MB."""
    for schema in (b"[" + b"[]," * 1_500_000 + b"[]]", b"[" + b" " * 30_000_000 + b"]"):
        outcome = read("skops", {"m.skops": deflated(b"schema.json", schema)})
        assert "has" in outcome.refusal
    assert read("skops", {"m.skops": deflated(b"schema.json", b"[" + b"[]," * 330_000 + b"[]]")}).understood


@pytest.mark.parametrize("schema", [b"5", b'"x"', b"null", b"true"])
def test_a_schema_that_is_no_tree(schema: bytes) -> None:
    assert read("skops", {"m.skops": zipped(schema_json=schema)}).understood


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "9" * 400_000, "1e999", "1" + "0" * 30])
def test_numbers_of_very_many_digits(number: str) -> None:
    header = '{"a":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}' % number  # noqa: UP031  (braces)
    data = struct.pack("<Q", len(header)) + header.encode() + b"x"
    assert not read("safetensors", {"m.safetensors": data}).understood


def test_json_of_nothing_but_brackets() -> None:
    header = b'{"a":[' + b"[]," * 700_000 + b"[]]}"
    outcome = read("safetensors", {"m.safetensors": struct.pack("<Q", len(header)) + header})
    assert outcome.refusal == "more values than a header has"


# --- zip archives --------------------------------------------------------------------------------------------


def test_local_headers_within_each_other_are_read_once() -> None:
    """Each said that 64 KiB belonged to it: 30 bytes of file made the reader read two thousand times as much."""
    count = 3000
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 0, 65535) * count + bytes(66_000)
    entries = [
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30 * n)
        for n in range(count)
    ]
    directory = b"".join(entries)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(local), 0)
    source = CountingSource(local + directory + end)
    with pytest.raises(Malformed, match="overlap"):
        READERS["npz"].layout("m.npz", source, {})
    assert source.bytes_read < source.size


# --- names ---------------------------------------------------------------------------------------------------


def index(entries: list[Entry], size: int) -> dict[str, bytes]:
    header = Entry(b"", b"\x08\x01")
    return {"v.index": write(Table([Block([header, *entries])])), "v.data-00000-of-00001": bytes(size)}


def variable(place: int) -> bytes:
    """A BundleEntryProto: a scalar uint8 at ``place``."""
    return b"\x08\x04\x12\x00\x20" + varint(place) + b"\x28\x01"


def test_keys_that_share_all_but_their_last_letters() -> None:
    """15 bytes of a table made a name of 4 KB: 300 times the file."""
    entries = [Entry(b"z" * 4080 + b"%07d" % n, variable(n)) for n in range(3000)]
    assert "more names" in read("savedmodel", index(entries, 3000)).refusal
    assert read("savedmodel", index(entries[:50], 3000)).understood


def ubjson(value: bytes) -> bytes:
    return b"{i\x07learner{i\x10gradient_booster{i\x05model[" + value + b"]}}}"


@pytest.mark.parametrize(
    ("reader", "name", "data"),
    [
        ("xgboost", "m.ubj", ubjson(b"[$i#i\0" * 70_000)),
        ("xgboost", "m.json", b'{"learner":{"gradient_booster":{"weights":[' + b"[1]," * 70_000 + b"[1]]}}}"),
        ("lightgbm", "m.txt", b"tree\nversion=v4\nTree=0\n" + b"leaf_value=\n" * 85_000 + b"end of trees"),
    ],
)
def test_endless_empty_arrays(reader: str, name: str, data: bytes) -> None:
    """A description of half a KiB for six bytes of file."""
    assert "more names" in read(reader, {name: data}).refusal


@pytest.mark.parametrize("name", ["\x80", "a\x9b2J", "\x7f", "\n", "\ud800"])
def test_names_that_move_a_terminals_cursor(name: str) -> None:
    with pytest.raises(Malformed):
        clean_name(name)


def test_notes_can_be_stored_and_shown() -> None:
    """They quote members' names, and what a plugin raised."""

    class Rude:
        name = "rude"

        def claims(self, path: str, head: bytes) -> bool:
            return True

        def layout(self, path: str, source: Any, folder: Any) -> Any:
            raise RuntimeError("\x1b[2J\ud800\n" + "x" * 100_000)

    hostile = put_together(Archive([Part(b"\x1b[2J" + b"x" * 60_000 + b".npy", b"junk")]))
    sources = {"m.npz": BytesSource(hostile)}
    for readers in ([READERS["npz"]], [Rude()]):
        layout = detect.layouts(sources, readers)["m.npz"]
        assert layout.note.isprintable()
        assert 20 < len(layout.note) < 700
        msgspec.msgpack.encode(layout)


def test_a_folder_of_very_many_models() -> None:
    """Each model listed all files beside it."""
    sources = {f"models/{n}.onnx": BytesSource(b"\x08\x08\x3a\x00") for n in range(4000)}
    begun = time.process_time()
    found = detect.layouts(sources, [READERS["onnx"]])
    assert {layout.format for layout in found.values()} == {"onnx"}
    assert time.process_time() - begun < 2


# --- HDF5 ----------------------------------------------------------------------------------------------------


def read_hdf5(*fillers: Callable[[h5py.File], object]) -> Outcome:
    return read("hdf5", {"m.h5": hdf5_files.write(*fillers, libver="latest")})


def tiny_chunks(name: str, count: int) -> Callable[[h5py.File], None]:
    """A dataset of chunks of one byte, which need no index: one byte of file for each."""

    def early(properties: Any) -> None:
        properties.set_chunk((1,))
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)

    array = np.zeros(count, np.uint8)
    return lambda file: hdf5_files.low_level(file, name, h5t.NATIVE_UINT8, (count,), array, early)


def test_endless_tiny_chunks() -> None:
    """Half a KiB of description for a byte of file, in every dataset again."""
    outcome = read_hdf5(*(tiny_chunks(f"d{n}", 19_000) for n in range(6)))
    assert outcome.understood  # the first is seen, the others stay opaque


def test_a_long_name_for_each_of_many_chunks() -> None:
    assert "more names of more chunks" in read_hdf5(tiny_chunks("n" * 4000, 15_000)).refusal


def test_many_names_for_a_dataset_of_many_chunks() -> None:
    """Chunks are told again for each name: in a file of 80 KB three million of them."""

    def fill(file: h5py.File) -> None:
        tiny_chunks("d", 1500)(file)
        for number in range(200):
            file[f"l{number}"] = file["d"]

    assert "more names of more chunks" in read_hdf5(fill).refusal


def test_a_chunk_that_is_far_larger_than_its_array() -> None:
    """A chunk of 1 MB that inflates to 1 GB, of which ten bytes are the array's."""

    def fill(file: h5py.File) -> None:
        data = file.create_dataset("d", (10,), "u1", chunks=(50 << 20,), maxshape=(None,), compression="gzip")
        data.id.write_direct_chunk((0,), zlib.compress(bytes(50 << 20)))

    assert read_hdf5(fill).understood
    tensor = Tensor("d", "uint8", (10,), (), "chunked", {"chunk": [50 << 20], "filters": [["deflate", 1]]})
    with pytest.raises(Malformed, match="chunks of 52428800 bytes for an array of 10"):
        decode(tensor, [zlib.compress(bytes(50 << 20))])


def test_more_filters_than_the_format_knows() -> None:
    with pytest.raises(Malformed, match="255 filters"):
        messages.read_filters(Cursor(b"\x02\xff" + b"\x02\0\0\0\0\0" * 255))


def long_object(records: int, size: int) -> bytes:
    """A group whose links are all the same soft link with a target of nearly ``size`` bytes, written by hand."""
    nowhere = (1 << 64) - 1
    link_info = b"\0\0" + struct.pack("<QQ", 200, 400)
    message = b"\x02" + struct.pack("<HB", len(link_info), 0) + link_info
    heap = b"FRHP\0" + struct.pack("<HHBI", 10, 0, 0, size) + bytes(96)
    heap += struct.pack("<HQQHHQH", 4, size, size, 32, 0, 1_000_000, 0)
    tree = b"BTHD\0\x05" + struct.pack("<IHHHQHQI", 1 << 30, 13, 0, 0, 500, records, records, 0)
    link = b"\x01\x0b\x01" + struct.pack("<Q", size - 100)
    record = bytes(5) + struct.pack("<II", 17, size - 50)
    parts = {
        0: b"\x89HDF\r\n\x1a\n\x02\x08\x08\0" + struct.pack("<QQQQI", 0, nowhere, 1_000_000 + size, 48, 0),
        48: b"OHDR\x02\x02" + struct.pack("<I", len(message)) + message + bytes(4),
        200: heap,
        400: tree,
        500: b"BTLF\0\x05" + record * records + bytes(4),
        1_000_000: (b"FHDB\0" + bytes(12) + link).ljust(size, b"x"),
    }
    data = bytearray(1_000_000 + size)
    for place, part in parts.items():
        data[place : place + len(part)] = part
    return bytes(data)


def test_a_long_object_that_is_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 18 MB: 60,000 links, each a copy of 16 MB; it took minutes."""
    begun = time.process_time()
    data = long_object(60_000, 1 << 24)
    READERS["hdf5"].layout("m.h5", BytesSource(data), {})
    assert time.process_time() - begun < 3
    monkeypatch.setattr(fractal_heap, "MOST_LINK", 1 << 30)  # what it guards against is there
    begun = time.process_time()
    READERS["hdf5"].layout("m.h5", BytesSource(long_object(60, 1 << 24)), {})
    assert time.process_time() - begun > 0.01


def test_members_of_keras_with_names_that_nobody_has() -> None:
    """The member's name stands before those of its datasets."""
    weights = hdf5_files.write(lambda file: file.create_dataset("w", data=np.ones(3)))
    for name in (b"a\x1b[2J.h5", b"x" * 60_000 + b".h5"):
        assert "a name" in read("keras", {"m.keras": put_together(Archive([Part(name, weights)]))}).refusal
    assert read("keras", {"m.keras": put_together(Archive([Part(b"other.h5", weights)]))}).understood


def test_many_files_of_weights_in_one_archive() -> None:
    """Each may have 20,000 chunks of a byte: 14 MB of description for every 20 KB."""
    weights = hdf5_files.write(tiny_chunks("d", 19_000), libver="latest")
    parts = [Part(b"%d.h5" % number, weights) for number in range(20)]
    assert "20 files of weights" in read("keras", {"m.keras": put_together(Archive(parts))}).refusal
    assert read("keras", {"m.keras": put_together(Archive(parts[:2]))}).understood


# --- single tensors ------------------------------------------------------------------------------------------


def test_an_empty_tensor_lies_nowhere() -> None:
    """Its offset may be any number, and was told as if bytes lay there."""
    info = struct.pack("<Q", 1) + b"a" + struct.pack("<IQIQ", 1, 0, 24, (1 << 64) - 64)
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info
    source = BytesSource(data)
    (tensor,) = READERS["gguf"].layout("m.gguf", source, {"m.gguf": source}).tensors
    assert (tensor.shape, tensor.extents) == ((0,), ())


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("piece", [b"\x01", b"\xff" * 9 + b"\x01", b"\x80\x01"])
def test_varints_take_a_bounded_multiple_of_their_memory(piece: bytes) -> None:
    """It was forty times the tensor's bytes."""
    data = piece * (3_000_000 // len(piece))
    tensor = Tensor("a", "int32", (len(data) // len(piece),), (), "varint")
    array = decode(tensor, [data])
    assert (array == array[0]).all()
    assert tracemalloc.get_traced_memory()[1] < 12 * len(data) + 2 * array.nbytes + (16 << 20)


def test_varints_are_the_same_across_pieces() -> None:
    numbers = np.random.default_rng(1).integers(0, 1 << 62, 60_000) >> np.arange(60_000) % 60
    data = b"".join(varint(int(number)) for number in numbers)
    assert len(data) > 1 << 18
    array = decode(Tensor("a", "int64", (60_000,), (), "varint"), [data])
    assert (array == numbers).all()
    with pytest.raises(Malformed, match="more than ten bytes"):
        decode(Tensor("a", "int64", (2,), (), "varint"), [b"\x01" + b"\xff" * (1 << 19) + b"\x01"])


@pytest.mark.parametrize(
    ("shape", "encoding", "args", "parts"),
    [
        ((), "chunked", {"chunk": []}, [b"x"]),
        ((2,), "chunked", {"chunk": [2], "fill": "zz"}, []),
        ((2,), "deflated", {"size": 1 << 64, "start": 0, "length": 2, "encoding": "raw"}, [b"\x03\0"]),
    ],
)
def test_descriptions_that_cannot_be(
    shape: tuple[int, ...], encoding: str, args: dict[str, Any], parts: list[bytes]
) -> None:
    """They raised TypeError, ValueError and OverflowError."""
    with pytest.raises(Malformed):
        decode(Tensor("a", "uint8", shape, (), encoding, args), parts)
