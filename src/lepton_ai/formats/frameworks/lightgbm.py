"""LightGBM's boosters and scikit-learn wrappers ⇄ its own text file: ``<stem>.txt``.

Loading gives a ``Booster``: the text keeps the trees but not the wrapper, whose ``predict`` gives labels
where a booster's gives probabilities. ``format="skops"`` keeps a wrapper whole, and asks for trust when it is
loaded. A text runs no code.

Source: https://lightgbm.readthedocs.io/en/stable/Python-Intro.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks import sklearn
from lepton_ai.formats.frameworks.contract import WHOLE, Found, Saved, chosen, is_a, need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INSTALL = "lepton-ai[lightgbm]"


class Lightgbm:
    """LightGBM ⇄ files."""

    name = "lightgbm"

    def owns(self, model: object) -> bool:
        """Whether it is a booster or a wrapper."""
        return is_a(model, "lightgbm", "Booster") or is_a(model, "lightgbm", "LGBMModel")

    def formats(self) -> tuple[str, ...]:
        """The default is LightGBM's own text."""
        return "txt", "skops"

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,  # noqa: ARG002  (the contract's; boosters need none)
    ) -> Saved:
        """Write the model, cut at the best iteration when training found one."""
        live: Any = model
        wrapped = is_a(model, "lightgbm", "LGBMModel")
        kind = chosen(self, format, self.formats() if wrapped else ("txt",))
        path = folder / f"{stem}.{kind}"
        if kind == "skops":
            return sklearn.save_skops(model, path)
        if wrapped and not getattr(live, "fitted_", False):
            raise Unsupported("it is not trained yet, so there is nothing to save", hint="call fit first")
        (live.booster_ if wrapped else live).save_model(path)
        name = type(model).__name__
        note = f"load_model gives a Booster, which predicts otherwise; format='skops' keeps the {name}"
        return Saved((path,), kind, note if wrapped else "")

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:
        """Texts that begin as LightGBM's do."""
        return [Found(path, WHOLE) for path in files if _is_booster(folder / path)]

    def load(self, folder: Path, path: str, *, trust: bool) -> object:  # noqa: ARG002  (the file is data)
        """A ``Booster``."""
        booster: object = need("lightgbm", INSTALL).Booster(model_file=folder / path)
        return booster


def _is_booster(path: Path) -> bool:
    if path.suffix != ".txt" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(32).replace(b"\r", b"").startswith(b"tree\nversion=")


FRAMEWORK = Lightgbm()
