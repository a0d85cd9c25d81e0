"""From what a person types to values: metrics, params, dataset, durations, times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from lepton_ai.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


def metrics(given: Sequence[str] | None) -> dict[str, float] | None:
    """``accuracy=0.97`` … as name → number; None when nothing was given.

    Raises:
        UsageError: one has no "=" or no number behind it.
    """
    if not given:
        return None
    found = {}
    for text in given:
        key, value = _pair(text, "--metric", "accuracy=0.97")
        try:
            found[key] = float(value)
        except ValueError:
            raise UsageError(
                f"--metric {text}: {value!r} is not a number", hint="texts are kept with --param"
            ) from None
    return found


def params(given: Sequence[str] | None) -> dict[str, Any] | None:
    """``epochs=10`` … as name → value: numbers, true, false, null, lists and objects as JSON has them, else texts."""
    if not given:
        return None
    return dict(_value(*_pair(text, "--param", "epochs=10")) for text in given)


def dataset(given: Sequence[str] | None) -> dict[str, Any] | None:
    """What ``--dataset`` says: a name, ``key=value``, or a JSON object; ``preprocessing`` may come several times.

    Raises:
        UsageError: it starts like a JSON object, but is none.
    """
    if not given:
        return None
    found: dict[str, Any] = {}
    for text in given:
        if text.startswith("{"):
            found |= _json_object(text)
        elif "=" not in text:
            found["name"] = text
        else:
            key, value = _pair(text, "--dataset", "rows=1797")
            if key == "preprocessing":
                found.setdefault(key, []).append(value)
            else:
                found[key] = _value(key, value)[1] if key not in ("name", "source", "digest") else value
    return found


def seconds(text: str) -> float:
    """A duration in seconds: ``14d``, ``12h``, ``30m``, ``90s``, ``2w``; a bare number means seconds.

    Raises:
        UsageError: it is none.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a duration", hint="write for example 14d, 12h, 30m or 90s")
    return float(match.group(1)) * _UNITS[match.group(2) or "s"]


def moment(text: str) -> datetime:
    """A time: ``2026-05-03T14:05``, ``2026-05-03``; local time unless it ends with an offset or Z.

    Raises:
        UsageError: it is none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a time", hint="write for example 2026-05-03T14:05") from None


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"{option} {text}: there is no name=value", hint=f"write for example {option} {example}"
        )
    return key.strip(), value.strip()


def _value(key: str, text: str) -> tuple[str, Any]:
    try:
        return key, msgspec.json.decode(text)
    except msgspec.DecodeError:
        return key, text


def _json_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as problem:
        raise UsageError(
            f"--dataset {text}: {problem}", hint="write a name, key=value or a JSON object"
        ) from None
