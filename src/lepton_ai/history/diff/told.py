"""What was told of two versions, side by side: params, metrics, dataset, code, environment, packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lepton_ai.history.diff.contract import Told
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import metric_values
from lepton_ai.types import Attachment, Code, Dataset, Environment, Record


def sections(
    before: Record, after: Record, reader: Reader, *, everything: bool = False
) -> dict[str, tuple[Told, ...]]:
    """Each section's differences by its name in :class:`Report`; with ``everything`` also what is the same.

    Raises:
        Damaged: a list of packages cannot be read.
    """
    found = {
        "params": (flat(before.params), flat(after.params)),
        "metrics": (metric_values(before.metrics), metric_values(after.metrics)),
        "dataset": (_dataset(before.dataset), _dataset(after.dataset)),
        "code": (_code(before.code), _code(after.code)),
        "environment": (_environment(before.environment), _environment(after.environment)),
        "packages": _packages(before.environment, after.environment, reader, everything=everything),
    }
    return {name: compare(*sides, everything=everything) for name, sides in found.items()}


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, everything: bool = False
) -> tuple[Told, ...]:
    """The keys of both, in the order of the newer one, those that only the older one has at the end."""
    keys = [*after, *(key for key in before if key not in after)]
    told = [_told(key, before, after) for key in keys]
    return tuple(one for one in told if everything or one.status != "same")


def _told(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Told:
    if key not in before:
        return Told(key, "added", None, after[key])
    if key not in after:
        return Told(key, "removed", before[key], None)
    one, other = before[key], after[key]
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    if same or (one != one and other != other):  # noqa: PLR0124  (both are NaN)
        return Told(key, "same", one, other)
    delta = other - one if _number(one) and _number(other) else None
    return Told(key, "changed", one, other, delta)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dots between the names: ``optimizer.lr``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _dataset(dataset: Dataset | None) -> dict[str, Any]:
    plain = msgspec.to_builtins(dataset) if dataset else {}
    extra = plain.pop("extra", {})
    return flat({**plain, **extra})


def _code(code: Code | None) -> dict[str, Any]:
    plain = msgspec.to_builtins(code) if code else {}
    if patch := plain.pop("patch", None):
        plain["uncommitted changes"] = f"{patch['size']} bytes, SHA-256 {patch['sha256'][:12]}"
    plain.pop("dirty", None)
    return plain


def _environment(environment: Environment | None) -> dict[str, Any]:
    return {"python": environment.python, "platform": environment.platform} if environment else {}


def _packages(
    before: Environment | None, after: Environment | None, reader: Reader, *, everything: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Both lists, read only when they are not one."""
    one, other = (side.packages if side else None for side in (before, after))
    if one == other and not everything:
        return {}, {}
    return _list(one, reader), _list(other, reader)


def _list(kept: Attachment | None, reader: Reader) -> dict[str, str]:
    return msgspec.json.decode(reader.attachment(kept), type=dict[str, str]) if kept else {}
