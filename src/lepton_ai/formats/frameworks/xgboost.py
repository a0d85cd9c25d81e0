"""XGBoost's boosters and scikit-learn wrappers ⇄ its own files, ``<stem>.ubj`` or .json.

Loading gives a ``Booster``, or for a file that a wrapper wrote an ``XGBClassifier``, ``XGBRegressor`` or
``XGBRanker``; the wrapper's training parameters are not in the file. It runs no code.

Source: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.frameworks.contract import WHOLE, Found, Saved, chosen, is_a, need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INSTALL = "lepton-ai[xgboost]"
WRAPPERS = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}


class Xgboost:
    """XGBoost ⇄ files."""

    name = "xgboost"

    def owns(self, model: object) -> bool:
        """Whether it is a booster or a wrapper."""
        return is_a(model, "xgboost", "Booster") or is_a(model, "xgboost", "XGBModel")

    def formats(self) -> tuple[str, ...]:
        """The default is the binary file."""
        return "ubj", "json"

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,  # noqa: ARG002  (the contract's; boosters need none)
    ) -> Saved:
        """Write the model."""
        kind = chosen(self, format)
        live: Any = model
        path = folder / f"{stem}.{kind}"
        live.save_model(path)
        return Saved((path,), kind)

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:
        """.ubj, and .json that begins like a booster's."""
        return [Found(path, WHOLE) for path in files if path.endswith(".ubj") or _is_booster(folder / path)]

    def load(self, folder: Path, path: str, *, trust: bool) -> object:  # noqa: ARG002  (the file is data)
        """A ``Booster`` or the wrapper that was saved."""
        xgboost = need("xgboost", INSTALL)
        booster: object = xgboost.Booster(model_file=folder / path)
        kind = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")  # type: ignore[attr-defined]
        if kind not in WRAPPERS:
            return booster
        wrapper: Any = getattr(xgboost, WRAPPERS[kind])()
        wrapper.load_model(folder / path)
        return wrapper


def _is_booster(path: Path) -> bool:
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(512).replace(b" ", b"").replace(b"\n", b"")
    return head.startswith((b'{"learner":', b'{"version":')) and b'"learner"' in head


FRAMEWORK = Xgboost()
