from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import Ambiguous, MissingExtra, NotFound, Unsupported
from lepton_ai.formats.frameworks import load, save
from lepton_ai.formats.frameworks import onnx as adapter
from lepton_ai.formats.frameworks.onnx import FRAMEWORK, Onnx
from lepton_ai.testing.frameworks import Example, FrameworkSuite, files_in, names, there_and_back

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.frameworks


@pytest.fixture
def model():
    """y = x · w + b, with a doc string, metadata and an attribute that must survive."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(1)
    w = numpy_helper.from_array(rng.normal(size=(64, 32)).astype("float32"), "w")
    b = helper.make_tensor("b", onnx.TensorProto.FLOAT, [32], rng.normal(size=32))
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5)],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 32])],
        [w, b],
        doc_string="a test",
    )
    built = helper.make_model(graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)])
    built.ir_version = 9
    helper.set_model_props(built, {"key": "value"})
    onnx.checker.check_model(built)
    return built


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self) -> Onnx:
        return FRAMEWORK

    @pytest.fixture
    def examples(self, model) -> list[Example]:
        return [Example(model, lambda back: back == model)]


def test_too_large_a_model_keeps_its_tensors_beside_it(
    model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    before = model.SerializeToString()
    monkeypatch.setattr(adapter, "LARGEST", 1000)
    saved, back = there_and_back(model, tmp_path, trust=False)
    assert names(saved) == ["model_v1.onnx", "model_v1.onnx.data"]
    assert model.SerializeToString() == before, "the caller's object stays as it was"
    for tensor in back.graph.initializer:
        tensor.ClearField("data_location")  # onnx.load leaves the default there
    assert back == model
    path = tmp_path / "moved" / "model_v1.onnx"
    assert path.stat().st_size < 1000
    onnx.checker.check_model(str(path))
    x = np.ones((2, 64), "float32")
    assert np.array_equal(
        runtime.InferenceSession(str(path)).run(None, {"x": x})[0],
        runtime.InferenceSession(before).run(None, {"x": x})[0],
    )
    shell = onnx.load(str(path), load_external_data=False)
    offsets = [e.value for t in shell.graph.initializer for e in t.external_data if e.key == "offset"]
    assert [int(offset) % 4096 for offset in offsets] == [0]


def test_what_protobuf_cannot_measure_is_too_large() -> None:
    class Huge:
        def ByteSize(self) -> int:
            raise ValueError("Failed to serialize proto")

    assert adapter._size(Huge()) > adapter.LARGEST


def test_tensors_that_were_not_loaded_cannot_be_saved(
    model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LARGEST", 1000)
    save(model, tmp_path, "m")
    shell = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    with pytest.raises(Unsupported) as refusal:
        save(shell, tmp_path, "other")
    assert "load_external_data=True" in refusal.value.hint


def test_external_data_cannot_point_outside(model, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 64 * 32 * 4)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Unsupported, match=r"m\.onnx"):
        load(tmp_path / "inner", ["m.onnx"])


def test_several_models_must_be_told_apart(model, tmp_path: Path) -> None:
    for stem in ("encoder", "decoder"):
        save(model, tmp_path, stem)
    with pytest.raises(Ambiguous, match=r"decoder\.onnx, encoder\.onnx"):
        load(tmp_path, files_in(tmp_path))
    assert load(tmp_path, files_in(tmp_path), path="encoder.onnx") == model
    with pytest.raises(NotFound):
        load(tmp_path, files_in(tmp_path), path="other.onnx")


def test_broken_file_is_one_plain_error(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(Unsupported, match=r"m\.onnx"):
        load(tmp_path, ["m.onnx"])


def test_missing_package_names_the_extra(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra) as refusal:
        save(model, tmp_path, "m")
    assert refusal.value.hint == "pip install 'lepton-ai[onnx]'"
