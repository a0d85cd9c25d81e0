"""One value of a configuration for one tensor: plain, by the tensor's name, or growing from layer to layer.

weight: 0.5                       the same for all
weight: [0, 0.3, 1]               a gradient: evenly spaced over the layers, straight lines between
weight:                           by name: the first whose filter is a part of the tensor's name counts;
  - filter: mlp                   one without a filter, or with "*", fits all
    value: [0, 1]
  - value: 0.5
"""

from __future__ import annotations

from typing import Any

from lepton_ai.errors import UsageError

Setting = Any
"""A value as it stands in a configuration; :func:`check` says whether it can be read."""


def check(setting: Setting, where: str) -> None:
    """Raise UsageError unless ``setting`` is something that :func:`value_of` can read."""
    if isinstance(setting, bool | int | float | str):
        return
    if isinstance(setting, dict):
        _check_condition(setting, where)
        return
    if isinstance(setting, list) and setting:
        if all(isinstance(one, dict) for one in setting):
            for one in setting:
                _check_condition(one, where)
            return
        if all(isinstance(one, bool | int | float | str) for one in setting):
            return
    raise UsageError(
        f"{where} is neither a value, a list of values, nor a list of filter: and value:, but {setting!r}"
    )


def _check_condition(one: dict[str, Any], where: str) -> None:
    unknown = set(one) - {"filter", "value"}
    if unknown or one.get("value") is None or isinstance(one["value"], dict):
        raise UsageError(f"{where}: {one!r} is no filter: and value:")
    if not isinstance(one.get("filter"), str | None):
        raise UsageError(f"{where}: {one['filter']!r} is no part of a tensor's name")
    check(one["value"], where)
    if isinstance(one["value"], list) and isinstance(one["value"][0], dict):
        raise UsageError(f"{where}: filters stand in filters")


def value_of(setting: Setting, name: str, depth: float) -> float | bool | str | None:
    """What a checked setting says for the tensor ``name`` at ``depth``, 0 for the first layer to 1 for the last.

    None where no filter fits. Numbers that YAML takes for text (1e-3) are numbers.
    """
    if isinstance(setting, dict):
        setting = [setting]
    if not isinstance(setting, list):
        return _number(setting)
    if isinstance(setting[0], dict):
        for one in setting:
            wanted = one.get("filter")
            if wanted in (None, "*") or wanted in name:
                return value_of(one["value"], name, depth)
        return None
    values = [_number(one) for one in setting]
    last = len(values) - 1
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return values[int(depth * last)]
    at = int(depth * last)
    share = depth * last - at
    return (1 - share) * float(values[at]) + share * float(values[min(last, at + 1)])


def _number(value: float | bool | str) -> float | bool | str:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
