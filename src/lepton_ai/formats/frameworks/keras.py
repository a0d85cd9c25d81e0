"""Keras models, and TensorFlow's modules.

Saving a Keras model writes ``<stem>.keras``; ``format=`` takes "keras", "h5" (the old HDF5 file), "weights"
(``.weights.h5``), "savedmodel" (``model.export``: a folder for TensorFlow Serving, without training) and
"onnx" (where Keras's backend can). A ``tf.Module`` becomes a SavedModel. ``example_inputs`` builds a model
that was never called.

Loading gives the model back, a dict of numpy arrays for a file that holds weights only, and TensorFlow's
restored object for a SavedModel. Python bytecode in a file (``Lambda`` layers) asks for trust, whatever
Keras's version would do with it; a SavedModel always does. A class of yours that Keras cannot find must be
imported (and registered) before loading; trust does not replace that.

Source: https://keras.io/api/models/model_saving_apis/, CVE-2025-1550, CVE-2025-9905
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import MissingExtra, Unsupported
from lepton_ai.formats.frameworks import keras_configs, tensorflow_files
from lepton_ai.formats.frameworks.contract import (
    TENSORS,
    WHOLE,
    Found,
    Saved,
    check_safe,
    chosen,
    first_line,
    is_a,
    need,
    untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAFE_SINCE = (3, 13, 1)
"""Older versions run code from .h5 and some .keras files in spite of safe_mode."""

H5 = (".h5", ".hdf5")


class Keras:
    """Keras and TensorFlow ⇄ files."""

    name = "keras"

    def owns(self, model: object) -> bool:
        """Whether it is a Keras model, under any backend, or one of TensorFlow's trackable objects."""
        if is_a(model, "keras", "KerasSaveable"):
            return is_a(model, "keras", "Model")
        return is_a(model, "tensorflow", "AutoTrackable")

    def formats(self) -> tuple[str, ...]:
        """The default is the .keras file."""
        return "keras", "h5", "savedmodel", "weights", "onnx"

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,
    ) -> Saved:
        """Write the model; see the module's text for what each format is."""
        if not is_a(model, "keras", "Model"):
            kind = chosen(self, format, ("savedmodel",))
            return tensorflow_files.save(model, folder / stem)
        kind = chosen(self, format)
        live: Any = model
        if example_inputs is not None and not live.built:
            live(*example_inputs) if isinstance(example_inputs, tuple) else live(example_inputs)
        return _save(live, kind, folder, stem)

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:  # noqa: ARG002  (names are enough)
        """.keras before .h5 before SavedModel before bare weights."""
        found = []
        for path in files:
            if path.endswith(".keras"):
                found.append(Found(path, WHOLE))
            elif path.endswith(".weights.h5"):
                found.append(Found(path, TENSORS))
            elif path.endswith(H5):
                found.append(Found(path, WHOLE - 1))
            elif path.rpartition("/")[2] == tensorflow_files.PROGRAM:
                found.append(Found(path, WHOLE - 2))
        return found

    def load(self, folder: Path, path: str, *, trust: bool) -> object:
        """A Keras model, a dict of arrays (weights alone), or TensorFlow's object (SavedModel)."""
        if path.rpartition("/")[2] == tensorflow_files.PROGRAM:
            return tensorflow_files.load(folder, path, trust=trust)
        configs = keras_configs.of(folder / path)
        if not configs:
            return keras_configs.arrays(folder / path)
        if not trust and (names := keras_configs.lambdas(configs)):
            raise untrusted(path, f"it holds Python bytecode that would run: {', '.join(names)}")
        keras = _keras()
        if not trust:
            check_safe(keras, SAFE_SINCE, "CVE-2025-9905", "lepton-ai[keras]")
        return _load(keras, folder, path, trust)


def _save(model: Any, kind: str, folder: Path, stem: str) -> Saved:
    path = folder / f"{stem}.{ {'weights': 'weights.h5'}.get(kind, kind) }"
    if kind == "savedmodel":
        path = folder / stem
        model.export(str(path), verbose=False)
    elif kind == "weights":
        model.save_weights(path)
    elif kind == "onnx":
        _save_onnx(model, path)
    elif kind == "h5":
        _save_h5(model, path)
    else:
        model.save(path)
    own = type(model).__module__.partition(".")[0] not in {"keras", "keras_hub"}
    note = f"load_model will need the class {type(model).__qualname__}: import the module that registers it"
    return Saved((path,), kind, note if own and kind in {"keras", "h5"} else "")


def _save_h5(model: Any, path: Path) -> None:
    """Write the old file, and leave the live model as it was.

    Keras (3.15) takes the optimizer out of the model's own compile configuration here; saved as .keras later, the
    model would come back with another optimizer.
    """
    live = getattr(getattr(model, "_compile_config", None), "config", {})
    before = dict(live)
    try:
        model.save(path)
    finally:
        live.update(before)


def _save_onnx(model: Any, path: Path) -> None:
    keras = _keras()
    try:
        with warnings.catch_warnings():
            # torch deprecated the exporter that Keras calls, and Keras mends tf2onnx by names that numpy has dropped;
            # nobody who saves a model can act on that.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            model.export(str(path), format="onnx", verbose=False, input_signature=_signature(keras, model))
    except ImportError as missing:
        raise MissingExtra(
            f"Keras exports ONNX from its {keras.backend.backend()} backend only with another package: "
            f"{first_line(missing)}",
            hint="pip install 'lepton-ai[tensorflow]', save as savedmodel, or export under KERAS_BACKEND=torch",
        ) from missing


def _signature(keras: Any, model: Any) -> object:
    """What the model takes, where it says so itself: Keras only asks models that have been called."""
    if not getattr(model, "inputs", None):
        return None
    given = model.input if is_a(model, "keras", "Functional") else model.inputs[0]
    return [keras.tree.map_structure(lambda x: keras.InputSpec(x.dtype, x.shape, name=x.name), given)]


def _load(keras: Any, folder: Path, path: str, trust: bool) -> object:
    try:
        return keras.saving.load_model(folder / path, safe_mode=not trust)
    except Exception as failed:
        if not trust and "safe_mode" in str(failed):
            raise untrusted(path, first_line(failed)) from failed
        if "Could not locate" in str(failed) and (names := keras_configs.strangers(folder / path)):
            raise Unsupported(
                f"{path!r} uses what Keras does not know: {', '.join(names)}",
                hint="import the module that registers it (register_keras_serializable), then load again",
            ) from failed
        try:
            model = keras.saving.load_model(folder / path, safe_mode=not trust, compile=False)
        except Exception:  # noqa: BLE001  (the first failure is the one to tell)
            raise failed from None
        warnings.warn(
            f"{path!r} was loaded without its optimizer, loss and metrics: {first_line(failed)}", stacklevel=2
        )
        return model


def _keras() -> Any:
    """Import Keras, which imports its backend."""
    try:
        return need("keras", "lepton-ai[keras]")
    except MissingExtra as missing:
        if missing.message.startswith("keras "):
            raise
        raise MissingExtra(
            f"Keras has no backend: {missing.message}",
            hint="pip install 'lepton-ai[tensorflow]', or set KERAS_BACKEND to torch or jax if you have that",
        ) from missing


FRAMEWORK = Keras()
