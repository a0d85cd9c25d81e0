"""GGUF files as gguf-py writes them, and as nobody should."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from lepton_ai.formats.contract import BytesSource, Layout, Malformed
from lepton_ai.formats.gguf import BLOCKS, FORMAT, NUMBERS
from lepton_ai.testing.formats import Array, FormatSuite, Sample
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(11)
WRITABLE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "TQ1_0", "TQ2_0", "MXFP4")
"""Types that gguf-py can quantise to by itself."""


def plain(path: Path) -> dict[str, Array]:
    arrays = {
        f"blk.0.{dtype.__name__}.weight": (RNG.normal(size=(3, 5)) * 100).astype(dtype)
        for dtype in (np.float32, np.float16, np.float64, np.int8, np.int16, np.int32, np.int64)
    }
    arrays["vector"] = RNG.normal(size=7).astype(np.float32)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("v.u8", 1)
    writer.add_int64("v.i64", -5)
    writer.add_float64("v.f64", 0.5)
    writer.add_bool("v.bool", True)
    writer.add_string("v.text", "tensor" * 300)
    writer.add_array("v.numbers", [1, 2, 3])
    writer.add_array("tokenizer.ggml.tokens", [f"token{n}" for n in range(2000)])
    writer.add_array("v.nested", [[1, 2], [3], [4, 5, 6]])
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    close(writer)
    return arrays


def quantised(path: Path) -> dict[str, Array]:
    expected: dict[str, Array] = {}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    for name in WRITABLE:
        kind = GGMLQuantizationType[name]
        data = gguf.quants.quantize(RNG.normal(size=(6, 512)).astype(np.float32), kind)
        writer.add_tensor(f"blk.{name}.weight", data, raw_dtype=kind)
        expected[f"blk.{name}.weight"] = (
            data.view(ml_dtypes.bfloat16) if name == "BF16" else data.reshape(-1).view(np.uint8)
        )
    close(writer)
    return expected


def close(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("gguf")
    paths = {make: folder / f"{make.__name__}.gguf" for make in (plain, quantised)}
    return [Sample.of(path, expected) for make, path in paths.items() if (expected := make(path))]


class TestGguf(FormatSuite, MergeSuite):
    @pytest.fixture
    def reader(self) -> Any:
        return FORMAT

    @pytest.fixture
    def samples(self, written: list[Sample]) -> list[Sample]:
        return written

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What gguf's own reader finds."""
        found = {}
        for tensor in gguf.GGUFReader(folder / main).tensors:
            data = np.array(tensor.data)
            if tensor.tensor_type.name == "BF16":
                data = data.view(ml_dtypes.bfloat16)
            found[tensor.name] = data.reshape(-1) if data.dtype == np.uint8 else data
        return found


def test_places_and_shapes_are_those_of_ggufs_own_reader(written: list[Sample], tmp_path: Path) -> None:
    for sample in written:
        path = tmp_path / sample.main
        path.write_bytes(sample.files[sample.main])
        theirs = {t.name: t for t in gguf.GGUFReader(path).tensors}
        ours = {t.name: t for t in lay(sample.files[sample.main]).tensors}
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert tensor.extents[0].offset == theirs[name].data_offset
            assert tensor.nbytes == theirs[name].n_bytes
            assert list(tensor.shape[::-1]) == theirs[name].shape.tolist()
            assert tensor.dtype.removeprefix("gguf.") in {
                theirs[name].tensor_type.name,
                NUMBERS.get(theirs[name].tensor_type),
            }


def test_every_type_of_ggml_is_known() -> None:
    for kind, (elements, width) in GGML_QUANT_SIZES.items():
        if kind in NUMBERS:
            assert elements == 1
        else:
            assert BLOCKS[kind] == (kind.name, elements, width)
    assert BLOCKS.keys() | NUMBERS.keys() == {int(kind) for kind in GGML_QUANT_SIZES}


def lay(data: bytes) -> Layout:
    return FORMAT.layout("m.gguf", BytesSource(data), {})


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def info(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def file(*infos: bytes, values: tuple[bytes, ...] = (), data: int = 4096, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(values)) + b"".join((*values, *infos))
    return head + bytes(-len(head) % 32 + data)


def test_a_tensor_of_a_type_to_come_stays_opaque() -> None:
    layout = lay(file(info(b"a", (64,), 0, 0), info(b"new", (64,), 999, 256), info(b"b", (64,), 2, 512)))
    assert [(t.name, t.dtype) for t in layout.tensors] == [("a", "float32"), ("b", "gguf.Q4_0")]
    assert "1 tensors" in layout.note


def array(kind: int, count: int) -> bytes:
    return struct.pack("<IQ", kind, count)


@pytest.mark.parametrize(
    "data",
    [
        file(version=1),
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        file(info(b"a", (64,), 0, 0), info(b"a", (64,), 0, 256)),  # twice the same name
        file(info(b"a", (64,), 0, 0), info(b"b", (64,), 0, 128)),  # overlap
        file(info(b"a", (64,), 0, 4000)),  # beyond the end
        file(info(b"a", (64,), 0, 2**64 - 64)),
        file(info(b"a", (2**32, 2**32), 0, 0)),
        file(info(b"a", (33,), 2, 0)),  # a row that is no whole number of blocks
        file(info(b"a", (), 2, 0)),
        file(info(b"a", (1,) * 65, 0, 0)),
        file(info(b"\xff", (1,), 0, 0)),
        file(info(b"", (1,), 0, 0)),
        file(info(b"n" * 5000, (1,), 0, 0)),
        file(values=(text(b"general.alignment") + struct.pack("<II", 4, 24),)),
        file(values=(text(b"general.alignment") + struct.pack("<II", 4, 0),)),
        file(values=(text(b"general.alignment") + struct.pack("<IQ", 10, 32),)),
        file(values=(text(b"k") + struct.pack("<I", 13),)),  # a type that is none
        file(values=(text(b"k") + struct.pack("<IQ", 8, 2**63),)),  # a string longer than the file
        file(values=(text(b"k") + struct.pack("<I", 9) + array(12, 2**61),)),  # so is an array, by overflow
        file(values=(text(b"k") + struct.pack("<I", 9) + array(8, 2**40),)),
        file(values=(text(b"k") + struct.pack("<I", 9) + array(9, 1) * 5000 + array(0, 0),)),
        b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0) + bytes(4096),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63) + bytes(4096),
        b"GGUF" + struct.pack("<IQQ", 3, 2_000_000, 0) + bytes(50_000_000),
        b"GGUF",
    ],
)
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        lay(data)


def test_a_header_of_strings_is_read_in_few_pieces() -> None:
    class Counted(BytesSource):
        calls = total = 0

        def read(self, offset: int, length: int) -> bytes:
            self.calls, self.total = self.calls + 1, self.total + length
            return super().read(offset, length)

    words = text(b"k") + struct.pack("<I", 9) + array(8, 200_000) + text(b"word") * 200_000
    source = Counted(file(info(b"a", (1000, 1000), 0, 0), values=(words,), data=4_000_000))
    assert FORMAT.layout("m", source, {}).tensors[0].shape == (1000, 1000)
    assert source.calls < 25
    assert source.total < 3_200_000
