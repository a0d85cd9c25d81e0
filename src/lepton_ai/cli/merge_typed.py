"""From what a person types after ``lepton merge`` to what is asked of the merge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lepton_ai.errors import UsageError


def configured(said: Mapping[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """A configuration says how to merge; only the rest may be said beside it."""
    for name in ("method", "rules", "weights", "parameters"):
        if asked.get(name):
            raise UsageError(f"--config says how to merge, and {_typed(name)} too", hint="say it there")
    return {**said, **asked}


_TYPED = {
    "rules": "rule", "weights": "weight", "parameters": "param", "aids": "aid", "candidates": "candidate",
    "metric": "by",
}  # fmt: skip
"""What is asked → how it is typed, where these are different words."""


def typed(asked: Mapping[str, Any]) -> list[str]:
    """The options with which something was said."""
    return [_typed(name) for name, value in asked.items() if value]


def _typed(name: str) -> str:
    return "--" + _TYPED.get(name, name).replace("_", "-")


def aids(given: list[str] | None) -> dict[str, list[str]] | None:
    """``fisher=v3`` … as kind → addresses; None when nothing was given. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in given or ():
        kind, equals, version = text.partition("=")
        if not equals or not kind or not version:
            raise UsageError(f"--aid {text} is no KIND=VERSION", hint="--aid fisher=v3 --aid fisher=side@v4")
        found.setdefault(kind, []).append(version)
    return found or None


def weights(given: list[str] | None) -> list[float] | None:
    """Numbers, also several with commas between them; None when nothing was given. Raises UsageError."""
    if not given:
        return None
    found: list[float] = []
    for text in given:
        for one in text.split(","):
            try:
                found.append(float(one))
            except ValueError:
                raise UsageError(
                    f"--weight {one} is not a number", hint="--weight 0.7 --weight 0.3"
                ) from None
    return found
