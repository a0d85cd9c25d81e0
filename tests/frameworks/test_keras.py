from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import MissingExtra, Unsupported, Untrusted
from lepton_ai.formats.frameworks import framework_of, load, save
from lepton_ai.formats.frameworks.keras import FRAMEWORK
from lepton_ai.testing.frameworks import Example, FrameworkSuite, files_in, names, there_and_back

pytestmark = [
    pytest.mark.frameworks,
    # Keras 3.15 on TensorFlow 2.21 converts variables the way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
ROWS = np.random.default_rng(1).normal(size=(5, 8)).astype("float32")


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model(keras):
    """Trained for one epoch, so that the optimizer has a state."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    model.compile("adam", keras.losses.MeanSquaredError())
    model.fit(ROWS, ROWS[:, :3], epochs=1, verbose=0)
    return model


def test_owns_keras_models(keras, model) -> None:
    assert framework_of(model).name == "keras"
    assert not FRAMEWORK.owns(keras.layers.Dense(1))
    assert not FRAMEWORK.owns(keras.optimizers.Adam())
    assert not FRAMEWORK.owns("keras")


def predicted(model: object) -> bytes:
    return model.predict(ROWS, verbose=0).tobytes()


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self):
        return FRAMEWORK

    @pytest.fixture
    def examples(self, model) -> list[Example]:
        return [
            Example(model, lambda back: predicted(back) == predicted(model), each) for each in (None, "h5")
        ]


@pytest.mark.parametrize("fmt", [None, "keras", "h5", "HDF5"])
def test_model_comes_back_with_its_optimizer(model, tmp_path: Path, fmt: str | None) -> None:
    saved, back = there_and_back(model, tmp_path, fmt)
    assert names(saved) == ["model_v1.keras" if fmt in {None, "keras"} else "model_v1.h5"]
    assert saved.note == ""
    assert predicted(back) == predicted(model)
    assert int(back.optimizer.iterations) == int(model.optimizer.iterations) == 1


def test_saving_as_h5_leaves_the_model_as_it_was(model, tmp_path: Path) -> None:
    """Keras itself loses the optimizer of the live model there."""
    before = model.get_compile_config()
    assert "optimizer" in before
    save(model, tmp_path, "m", "h5")
    assert model.get_compile_config() == before


def test_weights_come_back_as_arrays(model, tmp_path: Path) -> None:
    saved, arrays = there_and_back(model, tmp_path, "weights")
    assert names(saved) == ["model_v1.weights.h5"]
    found = {array.tobytes() for name, array in arrays.items() if name.startswith("layers/")}
    assert {weight.tobytes() for weight in model.get_weights()} == found


def test_savedmodel_is_a_folder_that_tensorflow_runs(model, tmp_path: Path) -> None:
    saved, back = there_and_back(model, tmp_path, "savedmodel", trust=True)
    assert names(saved) == ["model_v1"]
    assert "model_v1/saved_model.pb" in files_in(tmp_path / "moved")
    assert np.allclose(back.serve(ROWS), model.predict(ROWS, verbose=0), atol=1e-6)


def test_tf_module_becomes_a_savedmodel(tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")

    class Double(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec([None], "float32")])
        def double(self, x: object) -> object:
            return 2 * x

    assert framework_of(Double()).name == "keras"
    saved, back = there_and_back(Double(), tmp_path, trust=True)
    assert saved.format == "savedmodel"
    assert back.double([1.0, 3.0]).numpy().tolist() == [2.0, 6.0]
    with pytest.raises(Unsupported) as refusal:
        save(Double(), tmp_path, "m", "keras")
    assert refusal.value.hint == "format= takes savedmodel"


def test_example_inputs_build_a_model_that_was_never_called(keras, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    _, back = there_and_back(model, tmp_path, example_inputs=ROWS)
    assert predicted(back) == predicted(model)


def test_onnx_without_its_converter_is_a_plain_error(
    model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtra, match="tf2onnx") as refusal:
        save(model, tmp_path, "m", "onnx")
    assert "KERAS_BACKEND=torch" in refusal.value.hint


def test_onnx_of_models_that_were_never_called(keras, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    left, right = keras.Input((8,), name="left"), keras.Input((3,), name="right")
    both = keras.Model([left, right], keras.layers.Dense(2)(keras.layers.Concatenate()([left, right])))
    line = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="relu")])
    for name, model, given in (
        ("both", both, {"left": ROWS, "right": ROWS[:, :3]}),
        ("line", line, {line.inputs[0].name: ROWS}),
    ):
        saved = save(model, tmp_path, name, "onnx")
        session = runtime.InferenceSession(saved.paths[0].read_bytes())
        assert {one.name for one in session.get_inputs()} == set(given)
        expected = model.predict(list(given.values()) if len(given) > 1 else ROWS, verbose=0)
        assert np.allclose(session.run(None, given)[0], expected, atol=1e-5)


def test_uncompilable_model_is_loaded_for_prediction_and_says_so(keras, tmp_path: Path) -> None:
    """Keras 3 cannot read back the name of a loss from an .h5 file that it wrote itself."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    with pytest.warns(UserWarning, match="without its optimizer"):
        _, back = there_and_back(model, tmp_path, "h5")
    assert predicted(back) == predicted(model)


def test_own_class_must_be_known_to_keras(keras, tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Own(keras.Model):
        def __init__(self, **rest: object) -> None:
            super().__init__(**rest)
            self.dense = keras.layers.Dense(3)

        def call(self, x: object) -> object:
            return self.dense(x)

    model = Own()
    saved, back = there_and_back(model, tmp_path, example_inputs=ROWS)
    assert "Own" in saved.note
    assert predicted(back) == predicted(model)
    keras.saving.get_custom_objects().pop("tests>Own")
    for trust in (False, True):
        with pytest.raises(Unsupported, match="Own") as refusal:
            load(tmp_path / "moved", ["model_v1.keras"], trust=trust)
        assert "register" in refusal.value.hint


# ---- trust


def with_lambda(keras, ran: Path) -> object:
    """Its lambda makes a folder whenever Keras calls it, as it does while loading."""
    code = f"lambda x: (__import__('os').makedirs({str(ran)!r}, exist_ok=True), x)[1]"
    layer = keras.layers.Lambda(eval(code), name="sneaky")
    return keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(3)])


def refuse(folder: Path, file: str, ran: Path, why: str) -> None:
    with pytest.raises(Untrusted, match=why) as refusal:
        load(folder, [file])
    assert "trust=True" in refusal.value.hint
    assert not ran.exists()


@pytest.mark.parametrize("fmt", ["keras", "h5"])
def test_lambda_is_refused_before_it_runs(keras, tmp_path: Path, fmt: str) -> None:
    ran = tmp_path / "ran"
    model = with_lambda(keras, ran)
    save(model, tmp_path, "m", fmt)
    ran.rmdir()
    refuse(tmp_path, f"m.{fmt}", ran, "bytecode.*sneaky")
    back = load(tmp_path, [f"m.{fmt}"], trust=True)
    assert ran.exists(), "the payload works: the refusal is what stopped it"
    assert predicted(back) == predicted(model)


def test_lambda_of_old_files_is_refused(keras, tmp_path: Path) -> None:
    """Keras 2 wrote a lambda as a list of code, defaults and closure."""
    h5py = pytest.importorskip("h5py")
    ran = tmp_path / "ran"
    save(with_lambda(keras, ran), tmp_path, "m", "h5")
    ran.rmdir()
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
        code = layer["config"]["function"]["config"]
        layer["config"] |= {"function": [code["code"], None, None], "function_type": "lambda"}
        file.attrs["model_config"] = json.dumps(config)
    refuse(tmp_path, "m.h5", ran, "bytecode.*sneaky")


def test_what_keras_itself_calls_unsafe_is_refused(keras, model, tmp_path: Path) -> None:
    save(model, tmp_path, "inner", "savedmodel")
    layer = keras.layers.TFSMLayer(str(tmp_path / "inner"), call_endpoint="serving_default")
    save(keras.Sequential([keras.Input((8,)), layer]), tmp_path, "m")
    refuse(tmp_path, "m.keras", tmp_path / "ran", "TFSMLayer")


def test_savedmodel_asks_for_trust(model, tmp_path: Path) -> None:
    save(model, tmp_path, "m", "savedmodel")
    refuse(tmp_path, "m/saved_model.pb", tmp_path / "ran", "read and write files")


@pytest.mark.parametrize("version", ["3.11.3", "3.13.0", "2.15.0"])
def test_keras_that_ignores_its_safe_mode_is_refused(
    keras, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    save(model, tmp_path, "m", "h5")
    monkeypatch.setattr(keras, "__version__", version)
    with pytest.raises(Unsupported, match="CVE-2025-9905"):
        load(tmp_path, ["m.h5"])
    assert predicted(load(tmp_path, ["m.h5"], trust=True)) == predicted(model)


def test_datasets_that_point_to_other_files_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_dataset("w", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
    with pytest.raises(Unsupported, match="not in"):
        load(tmp_path, ["m.weights.h5"])
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_dataset("bomb", (2**40,), "f8")
    with pytest.raises(Unsupported, match="not in"):
        load(tmp_path, ["m.weights.h5"])


# ---- what is missing or broken


@pytest.mark.parametrize("file", ["m.keras", "m.h5", "m.weights.h5"])
def test_broken_files_are_one_plain_error(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(Unsupported, match=re.escape(file)):
        load(tmp_path, [file])


def test_without_keras_the_extra_is_named(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(model, tmp_path, "m")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match="keras is not installed") as refusal:
        load(tmp_path, ["m.keras"])
    assert refusal.value.hint == "pip install 'lepton-ai[keras]'"


# ---- the torch backend, in a process of its own: Keras has one backend per process

UNDER_TORCH = """
import pathlib, sys
import numpy as np, keras
from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks import framework_of, load, save

folder = pathlib.Path(sys.argv[1])
rows, expected = np.load(folder / "rows.npy"), np.load(folder / "expected.npy")
assert keras.backend.backend() == "torch" and "tensorflow" not in sys.modules
model = load(folder, ["m.keras"])
assert np.allclose(model.predict(rows, verbose=0), expected, atol=1e-5)
assert framework_of(model).name == "keras"
old = load(folder, ["m.h5"])
assert np.allclose(old.predict(rows, verbose=0), expected, atol=1e-5)
save(model, folder, "again")
again = load(folder, ["again.keras"])
assert (again.predict(rows, verbose=0) == model.predict(rows, verbose=0)).all()
print("ONNX", [path.name for path in save(model, folder, "m", "onnx").paths])
try:
    save(model, folder, "s", "savedmodel")
    sys.exit("saved, although torch cannot make a SavedModel")
except Unsupported:
    pass
"""


def test_files_of_tensorflow_load_under_torch(model, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    save(model, tmp_path, "m")
    save(model, tmp_path, "m", "h5")
    np.save(tmp_path / "rows.npy", ROWS)
    expected = model.predict(ROWS, verbose=0)
    np.save(tmp_path / "expected.npy", expected)
    run = subprocess.run(
        [sys.executable, "-c", UNDER_TORCH, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "ONNX ['m.onnx']" in run.stdout
    session = runtime.InferenceSession((tmp_path / "m.onnx").read_bytes())
    (answer,) = session.run(None, {session.get_inputs()[0].name: ROWS})
    assert np.allclose(answer, expected, atol=1e-5)


def test_missing_backend_is_told() -> None:
    """Keras without TensorFlow, for somebody who never chose a backend."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from lepton_ai.formats.frameworks.keras import _keras\n"
        "from lepton_ai.errors import MissingExtra\n"
        "try: _keras()\n"
        "except MissingExtra as missing: print(missing)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no backend" in run.stdout
    assert "KERAS_BACKEND" in run.stdout
