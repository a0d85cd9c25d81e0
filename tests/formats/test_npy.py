"""Arrays as numpy writes them (.npy), and as nobody should."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.formats.npy import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lepton_ai.formats.contract import Layout

RNG = np.random.default_rng(7)
MATRIX = RNG.normal(size=(4, 3)).astype(np.float32)
TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "?"]


def written(array: Array, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    return stream.getvalue()


def sample(name: str, array: Array, version: tuple[int, int] | None = None) -> Sample:
    native = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="))
    return Sample({name: written(array, version)}, name, {"array": native.reshape(array.shape)})


def read(data: bytes) -> Layout:
    source = BytesSource(data)
    return FORMAT.layout("m", source, {"m": source})


@pytest.fixture(scope="module")
def reader() -> Any:
    return FORMAT


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    plain = [sample(f"{kind}.npy", (RNG.normal(size=(3, 5)) * 50).astype(kind)) for kind in TYPES]
    big = [sample(f"big{kind}.npy", (RNG.normal(size=(3, 5)) * 50).astype(">" + kind)) for kind in TYPES]
    return [
        *plain,
        *big,
        sample("fortran.npy", np.asfortranarray(MATRIX)),
        sample("fortran3.npy", np.asfortranarray(RNG.normal(size=(2, 3, 4)).astype(">f8"))),
        sample("scalar.npy", np.array(2.5)),
        sample("empty.npy", np.zeros((0, 3), np.int32)),
        sample("version2.npy", MATRIX, (2, 0)),
        sample("version3.array", MATRIX, (3, 0)),
    ]


class TestNpy(FormatSuite, MergeSuite):
    """The promises of a reader."""

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What numpy loads."""
        array = np.load(io.BytesIO(files[main]))
        return {"array": np.array(array, array.dtype.newbyteorder("="), order="C")}


def test_bytes_after_the_array_are_opaque() -> None:
    layout = read(written(MATRIX) + written(MATRIX))
    assert [segment.tensor for segment in layout.segments] == [None, "array", None]


def header(text: str, version: int = 1, data: bytes = b"", length: int | None = None) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode("latin-1") + data


def described(descr: str = "'<f4'", order: str = "False", shape: str = "(1,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "text",
    [
        described(),
        '{"descr":"<f4","fortran_order":False,"shape":(1,)}',
        "{'shape': (1, ), 'fortran_order': False, 'descr': '<f4'}\n",
        "  {'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}   ",
        described(shape="(1)"),
    ],
)
def test_headers_of_other_writers_are_read(text: str) -> None:
    assert read(header(text, data=b"abcd")).tensors[0].shape == (1,)


HOSTILE = {
    "magic only": b"\x93NUMPY",
    "cut": header(described())[:-20],
    "version 4": header(described(), version=4, data=b"abcd"),
    "version 0": header(described(), version=0, data=b"abcd"),
    "header beyond the file": header(described(), length=60_000, data=b"abcd"),
    "header of 4 GB": header(described(), version=2, length=2**32 - 1, data=b"abcd"),
    "long header": header(described() + " " * 20_000, version=2, data=b"abcd"),
    "version 3 without UTF-8": header(described() + "\xff", version=3, data=b"abcd"),
    "objects": header(described("'|O'"), data=b"abcdefgh"),
    "records": header(described("[('a', '<f4')]"), data=b"abcd"),
    "text": header(described("'<U1'"), data=b"abcd"),
    "bytes": header(described("'|S4'"), data=b"abcd"),
    "void": header(described("'|V4'"), data=b"abcd"),
    "dates": header(described("'<M8[s]'"), data=b"abcdefgh"),
    "long double": header(described("'<f16'"), data=b"abcdefgh" * 2),
    "bool of four bytes": header(described("'<b4'"), data=b"abcd"),
    "no byte order": header(described("'|f4'"), data=b"abcd"),
    "complex of four bytes": header(described("'<c4'"), data=b"abcd"),
    "an expression": header(described("__import__('os')"), data=b"abcd"),
    "a call as shape": header(described(shape="exit()"), data=b"abcd"),
    "negative extent": header(described(shape="(-1,)"), data=b"abcd"),
    "extent beyond the file": header(described(shape="(2,)"), data=b"abcd"),
    "huge extent": header(described(shape=f"({2**63},)"), data=b"abcd"),
    "huge digits": header(described(shape=f"({'9' * 5000},)"), data=b"abcd"),
    "huge and empty": header(described(shape=f"(0, {2**62}, {2**62})")),
    "shape wraps round": header(described(shape=f"({2**32}, {2**32}, 1)"), data=b"abcd"),
    "65 dimensions": header(described(shape="(" + "1," * 65 + ")"), data=b"abcd"),
    "hole in the shape": header(described(shape="(1,,1)"), data=b"abcd"),
    "order is a number": header(described(order="0"), data=b"abcd"),
    "type is a bool": header(described(descr="True"), data=b"abcd"),
    "key twice": header(
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", data=b"abcd"
    ),
    "key missing": header("{'descr': '<f4', 'shape': (1,)}", data=b"abcd"),
    "strange key": header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': True}", data=b"abcd"),
    "trailing text": header(described() + "+1", data=b"abcd"),
    "brackets": header("{" * 9000, version=2, data=b"abcd"),
    "Arabic digits": header(described(shape="(1,)"), version=3).replace(b"(1,)", b"(\xd9\xa1)"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)
