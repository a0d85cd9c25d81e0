"""What changed of the architecture: nodes of ONNX, layers of Keras."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.formats.architecture import keras, onnx
from lepton_ai.formats.architecture.contract import Part
from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.history.diff import architecture
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.counting import CountingBlobs
from tests.history.diff.models import repo

__all__ = ["repo"]


def _told(parts: Any) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [(p.status, p.kind, p.name, p.attributes) for p in parts]


def _keras(config: dict[str, Any] | str) -> BytesSource:
    """A model of one layer with this configuration."""
    text = config if isinstance(config, str) else json.dumps(config)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        layers = '{"config": {"layers": [{"class_name": "Dense", "config": ' + text + "}]}}"
        archive.writestr("config.json", layers)
    return BytesSource(stream.getvalue())


class TestOnnx:
    def _model(
        self, place: Path, *, kernel: int = 3, relu: bool = True, scale: float = 1.0, name: str = "conv"
    ) -> Path:
        o = pytest.importorskip("onnx")
        h = o.helper
        weight = np.random.default_rng(0).normal(size=(400, 3, kernel, kernel)).astype(np.float32) * scale
        nodes = [
            h.make_node(
                "Conv", ["x", "w"], ["y"], name=name, kernel_shape=[kernel, kernel], auto_pad="SAME_UPPER"
            )
        ]
        nodes += [
            h.make_node("Relu" if relu else "LeakyRelu", ["y"], ["z"], **({} if relu else {"alpha": 0.5}))
        ]
        nodes += [
            h.make_node(
                "Constant", [], ["c"], value=o.numpy_helper.from_array(np.ones((2, 3), np.float32), "v")
            )
        ]
        graph = h.make_graph(
            nodes, "g",
            [h.make_tensor_value_info("x", 1, ["batch", 3, 8, 8])],
            [h.make_tensor_value_info("z", 1, ["batch", 400, 8, 8])],
            [o.numpy_helper.from_array(weight, "w")],
        )  # fmt: skip
        o.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)]), place)
        return place

    def test_the_parts_of_a_model(self, tmp_path: Path) -> None:
        source = BytesSource(self._model(tmp_path / "m.onnx", relu=False).read_bytes())
        assert onnx.parts(source) == [
            Part("conv", "Conv", {"kernel_shape": "[3, 3]", "auto_pad": "SAME_UPPER", "inputs": "x"}),
            Part("z", "LeakyRelu", {"alpha": "0.5", "inputs": "y"}),
            Part("c", "Constant", {"value": "tensor float32[2, 3]", "inputs": ""}),
            Part("input x", "Input", {"type": "float32[batch, 3, 8, 8]"}),
            Part("output z", "Output", {"type": "float32[batch, 400, 8, 8]"}),
            Part("opset ai.onnx", "Opset", {"version": "17"}),
        ]

    def test_between_two_versions(self, repo: ModelRepository, tmp_path: Path) -> None:
        one = repo.save_files(self._model(tmp_path / "m.onnx"))
        two = repo.save_files(self._model(tmp_path / "m.onnx", kernel=5, relu=False))
        assert _told(one.diff(two).architecture) == [
            ("changed", "Conv", "conv", {"kernel_shape": ("[3, 3]", "[5, 5]")}),
            ("added", "LeakyRelu", "z", {"alpha": (None, "0.5"), "inputs": (None, "y")}),
            ("removed", "Relu", "z", {"inputs": ("y", None)}),
        ]

    def test_weights_alone_change_no_architecture_and_are_not_read_for_it(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        one = repo.save_files(self._model(tmp_path / "m.onnx"))
        two = repo.save_files(self._model(tmp_path / "m.onnx", scale=2))
        assert one.diff(two).architecture == ()
        three = repo.save_files(self._model(tmp_path / "m.onnx", scale=2, name="otherwise", relu=False))
        counting = CountingBlobs(repo.home.store._reader._blobs)
        repo.home.store._reader._blobs = counting
        found = two.diff(three)
        assert [(p.status, p.kind) for p in found.architecture] == [
            ("added", "LeakyRelu"),
            ("removed", "Relu"),
        ]
        assert counting.bytes_read < 20_000 < 400 * 27 * 4, "the weights are the same and stay where they are"

    def test_lists_with_a_tag_for_each_number(self, repo: ModelRepository, tmp_path: Path) -> None:
        o = pytest.importorskip("onnx")

        def save(leaves: int) -> Any:
            values = [float(i) for i in range(leaves)]
            node = o.helper.make_node(
                "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", target_weights=values
            )
            graph = o.helper.make_graph([node], "g", [], [])
            o.save(o.helper.make_model(graph), tmp_path / "t.onnx")
            return repo.save_files(tmp_path / "t.onnx")

        (part,) = save(500).diff(save(2000)).architecture
        assert (part.status, part.kind) == ("changed", "ai.onnx.ml.TreeEnsembleRegressor")

    def test_what_is_no_model_is_refused(self) -> None:
        with pytest.raises(Malformed):
            onnx.parts(BytesSource(b"\x3a\xff\xff"))


def _config(units: int, activation: str = "relu", *, dropout: bool = False) -> dict[str, Any]:
    def layer(kind: str, name: str, source: str | None, **config: Any) -> dict[str, Any]:
        history = {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 4], "keras_history": [source, 0, 0]},
        }
        nodes = [{"args": [history], "kwargs": {}}] if source else []
        return {
            "module": "keras.layers",
            "class_name": kind,
            "config": {"name": name, **config},
            "inbound_nodes": nodes,
        }

    start = {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None},
        "registered_name": None,
    }
    layers = [
        layer("InputLayer", "x", None, batch_shape=[None, 4]),
        layer("Dense", "hidden", "x", units=units, activation=activation, kernel_initializer=start),
        layer("Dense", "out", "drop" if dropout else "hidden", units=3, activation="softmax"),
    ]
    if dropout:
        layers.insert(2, layer("Dropout", "drop", "hidden", rate=0.5))
    return {"module": "keras", "class_name": "Functional", "config": {"name": "model", "layers": layers}}


class TestKeras:
    def _archive(self, place: Path, config: dict[str, Any]) -> bytes:
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        return place.read_bytes()

    def test_layers_added_removed_and_changed(self, tmp_path: Path) -> None:
        before = keras.of_archive(BytesSource(self._archive(tmp_path / "a", _config(64))))
        after = keras.of_archive(BytesSource(self._archive(tmp_path / "b", _config(128, dropout=True))))
        assert [(p.name, p.kind) for p in before] == [
            ("x", "InputLayer"),
            ("hidden", "Dense"),
            ("out", "Dense"),
        ]
        assert before[1].attributes["kernel_initializer.class_name"] == "GlorotUniform"
        assert before[1].attributes["inputs"] == "x"
        assert _told(architecture.compare(before, after)) == [
            ("changed", "Dense", "hidden", {"units": ("64", "128")}),
            ("added", "Dropout", "drop", {"inputs": (None, "hidden"), "rate": (None, "0.5")}),
            ("changed", "Dense", "out", {"inputs": ("hidden", "drop")}),
        ]

    def test_a_model_within_a_model(self, tmp_path: Path) -> None:
        outer = {"class_name": "Sequential", "config": {"name": "outer", "layers": [_config(8)]}}
        parts = keras.of_archive(BytesSource(self._archive(tmp_path / "a", outer)))
        assert [p.name for p in parts] == ["model", "model/x", "model/hidden", "model/out"]

    def test_layers_that_are_only_numbered_otherwise_are_no_change(self) -> None:
        before = [
            Part("dense", "Dense", {"units": "3", "inputs": "x"}),
            Part("dense_1", "Dense", {"units": "4", "inputs": "dense"}),
        ]
        after = [
            Part("dense_7", "Dense", {"units": "3", "inputs": "x"}),
            Part("dense_8", "Dense", {"units": "4", "inputs": "dense_7"}),
        ]
        assert architecture.compare(before, after) == []
        after[1] = Part("dense_8", "Dense", {"units": "5", "inputs": "dense_7"})
        assert [(p.status, p.name) for p in architecture.compare(before, after)] == [
            ("added", "dense_8"), ("removed", "dense_1"),
        ]  # fmt: skip

    def test_a_configuration_that_is_none(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a", "w") as archive:
            archive.writestr("config.json", "{")
        with pytest.raises(Malformed, match="JSON cannot be read"):
            keras.of_archive(BytesSource((tmp_path / "a").read_bytes()))

    def test_names_that_no_text_can_hold_are_told_all_the_same(self) -> None:
        before, after = (_keras({"name": "\ud800x", "units": n, "\udfff": "\ud812"}) for n in (1, 2))
        (change,) = architecture.compare(keras.of_archive(before), keras.of_archive(after), "m.keras")
        assert (change.name, change.attributes) == ("\\ud800x", {"units": ("1", "2")})
        assert keras.of_archive(before)[0].attributes["\\udfff"] == "\\ud812"

    @pytest.mark.parametrize(
        "config",
        [
            {"name": "a", "k" * 9000: {f"{i}": i for i in range(20_000)}},
            {"name": "a", "k" * 90_000: {"b": 1}},
            {"name": "n" * 90_000},
        ],
    )
    def test_names_within_each_other_do_not_fill_the_memory(self, config: dict[str, Any]) -> None:
        source = _keras(config)
        tracemalloc.start()
        try:
            with pytest.raises(Malformed, match="too much to tell"):
                keras.of_archive(source)
            assert tracemalloc.get_traced_memory()[1] < 200 << 20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("depth", range(60, 1000, 20))
    def test_any_depth_is_read_or_refused(self, depth: int) -> None:
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            text = '{"name": "x", "deep": ' + opened * depth + "1" + closed * depth + "}"
            with suppress(Malformed):
                assert keras.of_archive(_keras(text))[0].name == "x"

    def test_layers_of_one_name_do_not_hide_each_other(self) -> None:
        before, after = (
            [
                Part("a", "Dense", {"units": first}),
                Part("a", "Dense", {"units": second}),
                Part("a #2", "Relu", {}),
            ]
            for first, second in (("1", "2"), ("3", "4"))
        )
        found = architecture.compare(before, after)
        assert {(c.name, *c.attributes["units"]) for c in found} == {("a", "1", "3"), ("a #2", "2", "4")}

    @pytest.mark.frameworks
    @pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )
    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_real_files(self, repo: ModelRepository, tmp_path: Path, suffix: str) -> None:
        k = pytest.importorskip("keras")

        def save(units: int) -> Any:
            k.utils.set_random_seed(0)
            model = k.Sequential(
                [k.Input((4,)), k.layers.Dense(units, name="hidden"), k.layers.Dense(3, name="out")]
            )
            model.save(tmp_path / f"model{suffix}")
            return repo.save_files(tmp_path / f"model{suffix}")

        found = save(8).diff(save(16))
        assert ("changed", "Dense", "hidden") in [told[:3] for told in _told(found.architecture)]
        (hidden,) = [p for p in found.architecture if p.name == "hidden"]
        assert hidden.attributes["units"] == ("8", "16")
        assert found.notes == ()
