"""Tensors replaced where they lie, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from lepton_ai.formats.contract import BytesSource, Extent, Layout, Source, Tensor
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.splice import Refused, elements_size, refusals, splice

pytestmark = pytest.mark.frameworks


def whole(source: Source) -> bytes:
    return source.read(0, source.size)


def test_a_tensor_is_replaced_where_it_lies() -> None:
    ours = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.int16)}
    data = safetensors.numpy.save(ours, metadata={"format": "pt"})
    folder = {"m.safetensors": BytesSource(data)}
    layout = layouts(folder)["m.safetensors"]
    new = ours["a"] * 2
    found = splice("m.safetensors", layout, folder, {"a": BytesSource(new.tobytes())})
    assert list(found) == ["m.safetensors"]
    assert whole(found["m.safetensors"]) == safetensors.numpy.save(
        {**ours, "a": new}, metadata={"format": "pt"}
    )


def test_bytes_beside_the_file_are_replaced_there() -> None:
    tensor = Tensor("w", "uint8", (2,), (Extent(1, 2, "w.bin"),))
    layout = Layout("onnx", (), (tensor,))
    folder = {"models/m.onnx": BytesSource(b"model"), "models/w.bin": BytesSource(b"....")}
    found = splice("models/m.onnx", layout, folder, {"w": BytesSource(b"ab")})
    assert {path: whole(source) for path, source in found.items()} == {"models/w.bin": b".ab."}
    del folder["models/w.bin"]
    reasons = refusals("models/m.onnx", layout, folder, ["w"])
    assert reasons == {"w": "lies in models/w.bin, which is not there"}


def test_what_cannot_be_replaced_is_told_before() -> None:
    known = Tensor("w", "gguf.Q4_0", (32,), (Extent(0, 18),))
    folder = {"m": BytesSource(bytes(18))}
    layout = Layout("gguf", (), (known,))
    assert elements_size(known) == 18
    assert refusals("m", layout, folder, ["w"]) == {}
    assert refusals("m", layout, folder, ["v"]) == {"v": "is none of its tensors"}
    strange = Layout("a stranger's", (), (known,))
    assert "a stranger's" in refusals("m", strange, folder, ["w"])["w"]
    with pytest.raises(Refused, match="takes 18 bytes of elements, and was given 17"):
        splice("m", layout, folder, {"w": BytesSource(bytes(17))})
    with pytest.raises(Refused, match="none of its tensors"):
        splice("m", layout, folder, {"v": BytesSource(b"")})


class Endless:
    """As many bytes as are wanted, without holding them."""

    def __init__(self, size: int, head: bytes = b"") -> None:
        self.size, self._head = size, head

    def read(self, offset: int, length: int) -> bytes:
        return (self._head[offset : offset + length] + bytes(length))[:length]


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_memory_does_not_grow_with_the_tensor(dtype: str) -> None:
    """As it lies, and a band at a time where bytes change their places."""
    count = 60_000_000
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({count},), }}".ljust(117) + "\n"
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    folder = {"m.npy": Endless(len(head) + 4 * count, head)}
    layout = layouts(folder)["m.npy"]
    assert layout.tensors[0].nbytes == 4 * count
    tracemalloc.start()
    found = splice("m.npy", layout, folder, {"array": Endless(4 * count)})["m.npy"]
    for at in range(0, found.size, 1 << 22):
        found.read(at, min(1 << 22, found.size - at))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (200 << 20 if dtype == ">f4" else 20 << 20)
