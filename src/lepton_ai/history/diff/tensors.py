"""From pairs of tensors to what is told of each, grouped by layer and sorted by how much moved."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from lepton_ai.history.counterparts import TensorPair
from lepton_ai.history.diff.contract import LayerChange, TensorChange, TensorStatus
from lepton_ai.history.diff.measure import Measured, comparable, measure
from lepton_ai.history.diff.moments import NOTHING, Moved, Own
from lepton_ai.history.diff.renames import with_renamed
from lepton_ai.history.elements import Elements
from lepton_ai.progress import SILENT, Progress

Sort = Literal["moved", "max", "changed", "name", "file"]
SORTS: tuple[Sort, ...] = ("moved", "max", "changed", "name", "file")


def compare(
    pairs: Iterable[TensorPair],
    pattern: str | None = None,
    *,
    whole: bool = False,
    progress: Progress = SILENT,
) -> tuple[list[TensorChange], list[Moved]]:
    """What is told of each pair, in their order, and what was measured.

    ``pattern``: only of tensors whose name, before or after, fits this glob.
    """
    settled = with_renamed(pairs)
    if pattern is not None:
        settled = [pair for pair in settled if _fits(pair, pattern)]
    same = [_known_equal(pair) for pair in settled]
    found = iter(measure(_unequal(settled, same), whole=whole, progress=progress))
    measured = [Measured() if equal else next(found) for equal in same]
    told = [_told(pair, result, equal) for pair, result, equal in zip(settled, measured, same, strict=True)]
    return told, [result.moved for result in measured]


def layer_of(name: str) -> str:
    """The layer that a tensor belongs to, by its name: up to the first number, or all but its last part.

    >>> layer_of("encoder.layer.3.attention.self.query.weight"), layer_of("layers/dense/vars/0"), layer_of("bias")
    ('encoder.layer.3', 'layers/dense', '')
    """
    parts = re.split(r"(?<=[./])", name)
    parts.pop()
    if parts and parts[-1].rstrip("./") == "vars":
        parts.pop()
    numbered = next((place for place, part in enumerate(parts) if part.rstrip("./").isdecimal()), None)
    return "".join(parts if numbered is None else parts[: numbered + 1]).rstrip("./")


def in_order(tensors: Iterable[TensorChange], sort: Sort) -> list[TensorChange]:
    """The tensors sorted: most first, by name, or as they lie in their file; those without numbers stand before."""
    return sorted(tensors, key=_KEYS[sort])


def layers(tensors: Sequence[TensorChange], measured: Sequence[Moved], sort: Sort) -> tuple[LayerChange, ...]:
    """The layers in which something differs, in the same order; ``measured`` belongs to the tensors."""
    groups: dict[str, list[tuple[TensorChange, Moved]]] = {}
    for tensor, moved in zip(tensors, measured, strict=True):
        if tensor.status != "same":
            groups.setdefault(tensor.layer, []).append((tensor, moved))
    found = [_layer(name, group) for name, group in groups.items()]
    return tuple(sorted(found, key=_KEYS[sort]))


_KEYS: dict[Sort, Callable[[TensorChange | LayerChange], tuple[object, ...]]] = {
    "moved": lambda item: _largest_first(item.l2_relative),
    "max": lambda item: _largest_first(item.max_abs),
    "changed": lambda item: _largest_first(item.changed_fraction),
    "name": lambda item: (item.name,),
    "file": lambda _: (),
}


def _largest_first(value: float | None) -> tuple[object, ...]:
    return (value is not None, -(value or 0.0))


def _layer(name: str, pairs: list[tuple[TensorChange, Moved]]) -> LayerChange:
    group, known = [t for t, _ in pairs], [m for t, m in pairs if t.l2_relative is not None]
    together = NOTHING
    for moved in known:
        together = together.joined(moved)
    counted = [t for t in group if t.changed is not None]
    elements = sum(t.elements for t in counted)
    changed = sum(t.changed or 0 for t in counted)
    return LayerChange(
        name,
        len(group),
        changed / elements if elements else None,
        max((t.max_abs for t in group if t.max_abs is not None), default=None),
        together.relative,
    )


def _fits(pair: TensorPair, pattern: str) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern) for side in pair if side for name in (side.name, side.address)
    )


def _known_equal(pair: TensorPair) -> bool:
    """Whether nothing has to be read: they are equal by their blocks, or the older one is gone."""
    if pair.after is None:
        return True
    return pair.before is not None and pair.before.same_as(pair.after)


def _unequal(pairs: list[TensorPair], same: list[bool]) -> list[TensorPair]:
    return [pair for pair, equal in zip(pairs, same, strict=True) if not equal]


def _status(pair: TensorPair, measured: Measured, equal: bool) -> TensorStatus:
    before, after = pair
    if before is None:
        return "added"
    if after is None:
        return "removed"
    if before.tensor.dtype != after.tensor.dtype:
        return "retyped"
    if before.tensor.shape != after.tensor.shape:
        return "reshaped"
    if not equal and (measured.moved.changed or measured.problem):
        return "changed"
    return "same" if before.name == after.name else "renamed"


def _told(pair: TensorPair, measured: Measured, equal: bool) -> TensorChange:
    side = pair.after or pair.before
    assert side is not None  # noqa: S101  (a pair has at least one side)
    facts: dict[str, Any] = {
        "name": side.address,
        "status": _status(pair, measured, equal),
        "layer": layer_of(side.name),
        "file": side.path,
        "name_before": pair.before.address if pair.before else None,
        "file_before": pair.before.path if pair.before else None,
        "elements": side.size,
        "nbytes": side.nbytes,
        **_kind(pair.before, "_before"),
        **_kind(pair.after, ""),
    }
    if pair.after is None:
        return TensorChange(**facts)
    if equal:
        return TensorChange(**facts, changed=0, changed_fraction=0.0, measured_fraction=0.0)
    return TensorChange(**facts, **_numbers(pair, measured))


def _kind(side: Elements | None, when: str) -> dict[str, Any]:
    return {f"dtype{when}": side.tensor.dtype, f"shape{when}": side.tensor.shape} if side else {}


def _numbers(pair: TensorPair, measured: Measured) -> dict[str, Any]:
    if measured.problem:
        return {"note": measured.problem}
    moved, size = measured.moved, max(side.size for side in pair if side)
    facts: dict[str, Any] = {"measured_fraction": measured.elements / size if size else 0.0}
    if comparable(pair):
        facts |= {"changed": moved.changed, "changed_fraction": moved.changed / size if size else 0.0}
    if not measured.numeric:
        return facts | {"note": "quantised in blocks of its format: bytes are compared, not numbers"}
    before, after = moved.before, moved.after
    sides: list[tuple[str, Elements | None, Own]] = [
        ("before", pair.before, before), ("after", pair.after, after),
    ]  # fmt: skip
    if measured.elements:
        facts |= {when: one.numbers() for when, side, one in sides if side is not None}
    facts |= {
        "introduced_nan": max(0, after.nan - before.nan),
        "introduced_inf": max(0, after.inf - before.inf),
    }
    if comparable(pair) and measured.elements:
        facts |= {
            "max_abs": moved.most if moved.pairs else None,
            "l2": moved.l2,
            "l2_relative": moved.relative,
            "cosine": moved.cosine,
            "histogram": measured.histogram,
        }
    return facts
