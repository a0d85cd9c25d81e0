"""What a merged version says of itself: params and dataset by key, metrics and curves only where they are still true.

A metric was measured on certain weights. Merged weights are other ones: a metric of a parent, or a mean of theirs,
would be a claim that nobody ever checked. So a merge begins without metrics and without training curves, unless its
content is exactly that of one parent; what the parents' were is told, and stays readable in them. Params say how
weights were made and the dataset what they saw: that a merge inherits, key by key. (Tags and aliases are names of
versions, not part of them: nothing of them is merged.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from lepton_ai.types import Attachment, Dataset, Record

_IDENTITY = ("name", "source", "digest", "rows")
"""What says together which data it was; a mixture of two of them would name data that do not exist."""


class Clash(msgspec.Struct, frozen=True):
    """A key that the sides changed differently. ``where`` is "params", "dataset" or "code"; None: not there.

    ``sides`` are the values, ours first; ours is what the merged version gets unless somebody decides otherwise.
    """

    where: str
    key: str
    base: Any
    sides: tuple[Any, ...]


class Metadata(msgspec.Struct, frozen=True):
    """What the merged version carries. ``left_out`` names what does not carry over, and why, for people."""

    params: dict[str, Any]
    metrics: dict[str, float | str]
    dataset: Dataset | None
    training: Attachment | None
    clashes: tuple[Clash, ...] = ()
    left_out: tuple[str, ...] = ()


def merge(base: Record | None, sides: Sequence[Record], same_as: int | None = None) -> Metadata:
    """The metadata of the merge of ``sides`` (ours first), which came from ``base``.

    ``same_as``: the side whose files the merge has byte for byte, whose measurements therefore hold; None for none.
    """
    clashes: list[Clash] = []
    params = by_key(
        base.params if base is not None else {}, [side.params for side in sides], "params", clashes
    )
    dataset = _datasets(base.dataset if base else None, [side.dataset for side in sides], clashes)
    if same_as is not None:
        metrics, training = dict(sides[same_as].metrics), sides[same_as].training
        return Metadata(params, metrics, dataset, training, tuple(clashes))
    return Metadata(params, {}, dataset, None, tuple(clashes), tuple(_left_out(sides)))


def by_key(
    base: Mapping[str, Any],
    sides: Sequence[Mapping[str, Any]],
    where: str,
    clashes: list[Clash],
    above: str = "",
) -> dict[str, Any]:
    """Merge mappings key by key, at any depth; what sides changed differently is added to ``clashes``.

    >>> by_key({"a": 1, "b": 2}, [{"a": 5, "b": 2}, {"a": 1, "c": 3}], "params", [])
    {'a': 5, 'c': 3}
    """
    result: dict[str, Any] = {}
    for key in dict.fromkeys(key for side in sides for key in side):
        was = base.get(key, _MISSING)
        values = [side.get(key, _MISSING) for side in sides]
        changed = list({_plain(value): value for value in values if _plain(value) != _plain(was)}.values())
        path = f"{above}{key}"
        if len(changed) > 1 and all(isinstance(value, Mapping) for value in changed):
            nested = was if isinstance(was, Mapping) else {}
            there = [value if isinstance(value, Mapping) else nested for value in values]
            result[key] = by_key(nested, there, where, clashes, f"{path}.")
            continue
        if len(changed) > 1:
            clashes.append(Clash(where, path, _shown(was), tuple(_shown(value) for value in values)))
        value = values[0] if len(changed) > 1 else changed[0] if changed else was
        if value is not _MISSING:
            result[key] = value
    return result


_MISSING = object()


def _plain(value: Any) -> str:
    """Equal for equal JSON values: 1, 1.0 and true are three."""
    return "" if value is _MISSING else json.dumps(value, sort_keys=True)


def _shown(value: Any) -> Any:
    return None if value is _MISSING else value


def _datasets(base: Dataset | None, sides: Sequence[Dataset | None], clashes: list[Clash]) -> Dataset | None:
    """The dataset, merged in three parts: which data it was, how they were prepared, whatever else was said."""
    merged = by_key(_parts(base), [_parts(side) for side in sides], "dataset", clashes)
    if not merged:
        return None
    identity = dict(zip(_IDENTITY, merged.get("data", ("", "", "", None)), strict=True))
    steps = tuple(merged.get("preprocessing", ()))
    return Dataset(**identity, preprocessing=steps, extra=merged.get("extra", {}))


def _parts(dataset: Dataset | None) -> dict[str, Any]:
    if dataset is None:
        return {}
    parts: dict[str, Any] = {"data": [getattr(dataset, name) for name in _IDENTITY]}
    if dataset.preprocessing:
        parts["preprocessing"] = list(dataset.preprocessing)
    return parts | ({"extra": dataset.extra} if dataset.extra else {})


def _left_out(sides: Iterable[Record]) -> Iterable[str]:
    listed = list(sides)
    if names := sorted({name for side in listed for name in side.metrics}):
        yield f"metrics ({', '.join(names)}): they were measured on the parents' weights, not on these; measure anew"
    if any(side.training for side in listed):
        yield "training curves: these weights were merged, not trained"
