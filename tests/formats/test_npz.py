"""Archives of arrays as numpy writes them (.npz), and as nobody should."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.formats.npz import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lepton_ai.formats.contract import Layout

RNG = np.random.default_rng(7)
MATRIX = RNG.normal(size=(4, 3)).astype(np.float32)


def written(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(compressed: bool, **arrays: Array) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def read(data: bytes) -> Layout:
    source = BytesSource(data)
    return FORMAT.layout("m", source, {"m": source})


@pytest.fixture(scope="module")
def reader() -> Any:
    return FORMAT


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    arrays = {
        "weight": MATRIX,
        "layer/bias": RNG.normal(size=5),
        "权重": np.arange(3, dtype=np.int16),
        "fortran": np.asfortranarray(MATRIX.astype(np.float64)),
        "big": MATRIX.astype(">f4"),
        "empty": np.zeros((2, 0), np.float32),
        "scalar": np.array(7),
        "zeros": np.zeros(5000),
    }
    expected = {name: np.ascontiguousarray(a).astype(a.dtype.newbyteorder("=")) for name, a in arrays.items()}
    expected["scalar"] = arrays["scalar"]
    return [
        Sample({"stored.npz": zipped(False, **arrays)}, "stored.npz", expected),
        Sample({"deflated.npz": zipped(True, **arrays)}, "deflated.npz", expected),
        Sample({"none.npz": zipped(False)}, "none.npz"),
    ]


class TestNpz(FormatSuite, MergeSuite):
    """The promises of a reader, for stored and deflated archives."""

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What numpy loads; zipfile compares the checksums."""
        with np.load(io.BytesIO(files[main])) as archive:
            return {name: np.array(a, a.dtype.newbyteorder("="), order="C") for name, a in archive.items()}


def test_stored_members_are_segments_of_their_own_and_deflated_ones_are_opaque() -> None:
    layout = read(zipped(False, a=MATRIX, b=MATRIX))
    assert [(s.tensor, s.dtype) for s in layout.segments if s.tensor] == [("a", "float32"), ("b", "float32")]
    packed = read(zipped(True, a=MATRIX, b=MATRIX))
    assert [t.encoding for t in packed.tensors] == ["deflated", "deflated"]
    assert not any(segment.tensor for segment in packed.segments)
    places = {segment.offset: segment.length for segment in packed.segments}
    for tensor in packed.tensors:  # a run of its own, so that an unchanged array stays the same bytes
        assert places[tensor.extents[0].offset] == tensor.extents[0].length


def test_members_that_are_no_plain_arrays_stay_opaque_and_the_others_are_seen() -> None:
    records = np.zeros(2, [("a", "f4"), ("b", "i8")])
    data = zipped(False, a=MATRIX, labels=np.array(["x", "y"]), records=records)
    layout = read(data)
    assert [tensor.name for tensor in layout.tensors] == ["a"]
    assert "labels.npy stays opaque" in layout.note


def test_an_npz_with_a_lying_array_shows_the_others() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("good.npy", written(MATRIX))
        archive.writestr("short.npy", written(MATRIX)[:-1])
        archive.writestr("long.npy", written(MATRIX) + b"x")
        archive.writestr("notes.txt", b"\x93NUMPY")
    layout = read(stream.getvalue())
    assert [tensor.name for tensor in layout.tensors] == ["good"]


def test_a_deflated_array_that_promises_less_than_it_gives_is_refused() -> None:
    """The bomb stops at the size that the header and the directory promise."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", written(np.zeros(1000, np.uint8)) + bytes(1_000_000))
    data = bytearray(stream.getvalue())
    size = len(written(np.zeros(1000, np.uint8)))
    struct.pack_into("<I", data, 22, size)
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, size)
    source = BytesSource(bytes(data))
    layout = FORMAT.layout("m", source, {})
    with pytest.raises(Malformed, match="promised"):
        list(read_tensors({"m": source}, "m", layout))
