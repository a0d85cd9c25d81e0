"""Tensors replaced where they lie, and what is refused."""

from __future__ import annotations

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
