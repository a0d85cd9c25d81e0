"""A difference in words and short numbers: what the terminal and the page both say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from lepton_ai.history.diff.contract import Histogram, Report, TensorChange, Told

LISTED = 3
BARS = " ▁▂▃▄▅▆▇█"


def verdict(report: Report) -> list[str]:
    """The result in a sentence or two."""
    if report.same_content:
        return ["These two versions hold identical weights: their files are the same, byte for byte."]
    if report.same_weights:
        return ["These two versions hold identical weights; their files differ beside them."]
    differ = [tensor for tensor in report.tensors if tensor.status != "same"]
    total = len(differ) + report.same
    if not total:
        return ["No tensors can be compared."]
    if not differ:
        return [
            f"All {total} tensors that were compared are identical."
            if total > 1
            else "The tensor is identical."
        ]
    if report.complete and all(tensor.status == "renamed" for tensor in differ):
        return [
            f"These two versions hold identical weights; {len(differ)} of {total} tensors are called otherwise."
        ]
    counts = {status: sum(tensor.status == status for tensor in differ) for status in _ORDER}
    counted = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    same = f"; {report.same} identical" if report.same else ""
    return [f"Of {total} tensor{'s' if total > 1 else ''}: {counted}{same}."]


class Introducing(Protocol):
    """A tensor that NaN or infinities came into: of a diff, or of a merge."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def introduced_nan(self) -> int:
        """How many NaN."""
        ...

    @property
    def introduced_inf(self) -> int:
        """How many infinities."""
        ...


def warnings(report: Report) -> list[str]:
    """What must not be overlooked: NaN and infinities that were not there before."""
    return introducing(report.after.label, report.introduces)


def introducing(what: str, tensors: Sequence[Introducing]) -> list[str]:
    """That ``what`` brings in NaN or infinities, and where; no line where it does not."""
    if not tensors:
        return []
    counted = _not_finite(sum(t.introduced_nan for t in tensors), sum(t.introduced_inf for t in tensors))
    named = ", ".join(
        f"{t.name} ({_not_finite(t.introduced_nan, t.introduced_inf, ', ')})" for t in tensors[:LISTED]
    )
    more = f" and {len(tensors) - LISTED} more" if len(tensors) > LISTED else ""
    return [f"{what} introduces {counted}: {named}{more}"]


def partly(report: Report) -> str:
    """What is to be said where only a part of a tensor was measured; empty where none was."""
    some = [t for t in report.tensors if t.l2_relative is not None and _partial(t)]
    if not some:
        return ""
    return (
        "* measured where blocks differ, so of the whole tensor it moved at most this much; "
        "--whole reads the rest, too"
    )


def moved(tensor: TensorChange) -> str:
    """How far it moved, with a mark where that is known of a part of it only."""
    text = relative(tensor.l2_relative)
    return f"{text}*" if tensor.l2_relative is not None and _partial(tensor) else text


def percent(share: float | None) -> str:
    """A share for people: never 0 % of something nor 100 % of less than all."""
    if share is None:
        return ""
    value = 100 * share
    if 0 < value < 0.01:
        return "<0.01 %"
    if 99.9 <= value < 100:
        return ">99.9 %"
    return f"{value:.3g} %"


def relative(value: float | None) -> str:
    """‖Δ‖/‖before‖ in percent; what was all zero before moved from 0."""
    if value is None:
        return ""
    if math.isinf(value):
        return "from 0"
    value *= 100
    if value and value < 0.001:
        return f"{value:.0e} %"
    return f"{value:.3g} %" if value < 1000 else f"{value:.0f} %"


def short(value: float | None) -> str:
    """A number of at most three significant digits."""
    return "" if value is None else f"{value:.3g}"


def cosine(value: float | None) -> str:
    """A cosine, which is near 1 nearly always: then how near."""
    if value is None or value == 1:
        return "" if value is None else "1"
    return f"1-{1 - value:.0e}".replace("e-0", "e-") if value > 0.999 else f"{value:.4f}"


def shape(extents: tuple[int, ...] | None) -> str:
    """``3×4``; "scalar" for none."""
    return "" if extents is None else "×".join(map(str, extents)) or "scalar"


def kind(tensor: TensorChange) -> str:
    """Type and shape, both of them where they changed."""
    before = f"{tensor.dtype_before} {shape(tensor.shape_before)}" if tensor.dtype_before else ""
    after = f"{tensor.dtype} {shape(tensor.shape)}" if tensor.dtype else ""
    return after or before if before == after or not (before and after) else f"{before} → {after}"


def spark(histogram: Histogram | None, width: int = 7) -> str:
    """The sizes of the differences, from small to large, as a line of bars."""
    if histogram is None:
        return ""
    counts = [n + p for n, p in zip(histogram.negative, histogram.positive, strict=True)]
    step = -(-len(counts) // width)
    first = len(counts) % step  # the largest ones end with the line
    groups = ([sum(counts[:first])] if first else []) + [
        sum(counts[i : i + step]) for i in range(first, len(counts), step)
    ]
    top = max(groups)
    return "".join(BARS[math.ceil(count / top * (len(BARS) - 1))] for count in groups)


def value(one: Any) -> str:
    """A value that was told, on one line."""
    if isinstance(one, float):
        return f"{one:.6g}"
    if isinstance(one, list | tuple):
        return "[" + ", ".join(map(value, one)) + "]"
    return "" if one is None else str(one)


def change(told: Told) -> str:
    """``0.91 → 0.93 (+0.02)``."""
    if told.status == "same":
        return value(told.after)
    if told.status == "added":
        return f"+ {value(told.after)}"
    if told.status == "removed":
        return f"- {value(told.before)}"
    delta = "" if told.delta is None else f" ({told.delta:+.3g})"
    return f"{value(told.before)} → {value(told.after)}{delta}"


_ORDER = ("changed", "added", "removed", "renamed", "retyped", "reshaped")


def _partial(tensor: TensorChange) -> bool:
    return tensor.measured_fraction is not None and 0 < tensor.measured_fraction < 1


def _not_finite(nan: int, inf: int, between: str = " and ") -> str:
    return between.join(f"{count} {name}" for count, name in ((nan, "NaN"), (inf, "Inf")) if count)
