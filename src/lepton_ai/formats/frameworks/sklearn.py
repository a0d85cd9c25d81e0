"""scikit-learn's estimators, also those that other packages build on it.

Saving writes ``<stem>.skops``; ``format="onnx"`` a program for prediction through skl2onnx (32-bit floats
unless ``example_inputs`` are of another type; class probabilities as an array). Loading a .skops gives the
estimator: types that skops does not know to be safe are refused by name without trust; among them are
decision trees, whose native structure skops cannot check. A pickle (.pkl, .pickle, .joblib) is opened only
with trust.

Source: https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks.contract import (
    PICKLE,
    WHOLE,
    Found,
    Saved,
    check_safe,
    chosen,
    is_a,
    need,
    untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INSTALL = "lepton-ai[sklearn]"
PICKLES = (".pkl", ".pickle", ".joblib")


class Sklearn:
    """scikit-learn ⇄ files."""

    name = "sklearn"

    def owns(self, model: object) -> bool:
        """Whether it is an estimator; XGBoost's and LightGBM's have files of their own."""
        return is_a(model, "sklearn", "BaseEstimator") and not (
            is_a(model, "xgboost", "XGBModel") or is_a(model, "lightgbm", "LGBMModel")
        )

    def formats(self) -> tuple[str, ...]:
        """The default is skops."""
        return "skops", "onnx"

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,
    ) -> Saved:
        """Write the estimator; the note names what will ask for trust."""
        kind = chosen(self, format)
        path = folder / f"{stem}.{kind}"
        if kind == "onnx":
            _save_onnx(model, path, example_inputs)
            return Saved((path,), kind)
        return save_skops(model, path)

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:  # noqa: ARG002  (names are enough)
        """.skops, and pickles as the last resort."""
        found = [Found(path, WHOLE) for path in files if path.endswith(".skops")]
        return found + [Found(path, PICKLE) for path in files if path.endswith(PICKLES)]

    def load(self, folder: Path, path: str, *, trust: bool) -> object:
        """The estimator, or whatever a pickle holds."""
        if path.endswith(PICKLES):
            if not trust:
                raise untrusted(path, "it is a pickle: reading it runs whatever code it names")
            unpickled: object = need("joblib", INSTALL).load(folder / path)
            return unpickled
        if not trust:
            check_safe(need("skops", INSTALL), (0, 12), "CVE-2025-54412", INSTALL)
        skops = need("skops.io", INSTALL)
        types = skops.get_untrusted_types(file=folder / path)
        if types and not trust:
            raise untrusted(path, f"it makes objects that skops cannot vouch for: {', '.join(types)}")
        estimator: object = skops.load(folder / path, trusted=types)
        return estimator


def save_skops(model: object, path: Path) -> Saved:
    """Write any estimator as .skops."""
    skops = need("skops.io", INSTALL)
    skops.dump(model, path)
    types = skops.get_untrusted_types(file=path)
    return Saved((path,), "skops", f"load_model will ask for trust=True: {', '.join(types)}" if types else "")


def _save_onnx(model: Any, path: Path, example: Any) -> None:
    convert = need("skl2onnx", "lepton-ai[demo]")
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    if example is not None:
        program = convert.to_onnx(model, example[:1], options=options)
    else:
        columns = getattr(model, "n_features_in_", None)
        if columns is None:
            raise Unsupported(
                "the number of its inputs is not known", hint="fit it, or give example_inputs=…"
            )
        floats = need("skl2onnx.common.data_types", "lepton-ai[demo]").FloatTensorType([None, columns])
        program = convert.to_onnx(model, initial_types=[("X", floats)], options=options)
    path.write_bytes(program.SerializeToString())


FRAMEWORK = Sklearn()
