"""One parameter through time: X_v = {w_1 … w_n} and w_i^(v+1) = f(w_i^v, θ), version by version along a branch."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from difflib import get_close_matches
from typing import Any

import msgspec

from lepton_ai.errors import Ambiguous, NotFound, UsageError
from lepton_ai.history.counterparts import TensorPair
from lepton_ai.history.diff import moments
from lepton_ai.history.diff.measure import measure
from lepton_ai.history.diff.moments import Own
from lepton_ai.history.diff.told import flat
from lepton_ai.history.elements import Elements, Tensors
from lepton_ai.history.reading import Reader
from lepton_ai.types import Record

MOVED = "moved"
STATS: dict[str, Callable[[Own], float]] = {
    "norm": lambda own: own.norm,
    "mean": lambda own: own.mean,
    "std": lambda own: own.std,
    "min": lambda own: own.low,
    "max": lambda own: own.high,
    "rms": lambda own: own.rms,
    "nan": lambda own: float(own.nan),
    "inf": lambda own: float(own.inf),
}
"""Of the finite elements: the L2 norm, mean, standard deviation, least, greatest, root mean square; and how many are
NaN or infinite. ``moved`` is beside them: ‖Δ‖/‖before‖ against the version before."""
_UPDATE = re.compile(
    r"opti|(^|[._])lr|learn|rate|momentum|decay|batch|epoch|step|sched|beta|warm", re.IGNORECASE
)


class Point(msgspec.Struct, frozen=True):
    """The parameter in one version; None where the version has no such tensor or element, or nothing finite in it.

    ``delta`` is the value minus that of the version before. ``update`` is what its params say of the training that led
    there, ``params`` all of them; ``time`` RFC 3339 in UTC.
    """

    version: str
    id: str
    time: str
    value: float | None
    delta: float | None
    operation: str
    message: str
    update: dict[str, Any]
    params: dict[str, Any]
    note: str = ""


class Course(msgspec.Struct, frozen=True):
    """A tensor's element or statistic along a branch, oldest version first. ``what`` says which: "norm", "[3, 7]"."""

    name: str
    branch: str
    what: str
    points: tuple[Point, ...]


def course(
    reader: Reader,
    versions: Iterable[tuple[str, Record]],
    name: str,
    *,
    branch: str,
    element: tuple[int, ...] | None = None,
    stat: str = "norm",
) -> Course:
    """Follow the tensor ``name`` through ``versions`` (id and record, oldest first). What did not change is read once.

    Raises:
        NotFound: no version has it. Ambiguous: several files of a version have it.
        UsageError: there is no such statistic or element.
    """
    if stat not in STATS and stat != MOVED:
        raise UsageError(f"there is no statistic {stat!r}", hint=f"one of {', '.join((*STATS, MOVED))}")
    follow = _Follow(element, stat)
    points: list[Point] = []
    known: dict[str, None] = {}
    found = False
    for id_, record in versions:
        tensors = Tensors(reader, record.files)
        known |= dict.fromkeys(tensors)
        side = _named(tensors, name, record.name)
        found |= side is not None
        value, note = (None, "no such tensor") if side is None else follow.value(side)
        before = points[-1].value if points else None
        delta = value - before if value is not None and before is not None else None
        points.append(_point(id_, record, value, delta, note))
    if not found:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "lepton tensors VERSION lists them"
        raise NotFound(f"no version of branch {branch!r} has a tensor {name!r}", hint=hint)
    if element is not None and all(point.value is None for point in points) and follow.outside:
        raise UsageError(f"{name!r} has no element {list(element)}: {follow.outside}", hint="count from 0")
    return Course(name, branch, stat if element is None else str(list(element)), tuple(points))


class _Follow:
    """Takes the value of one version after the other."""

    def __init__(self, element: tuple[int, ...] | None, stat: str) -> None:
        self._element, self._stat = element, stat
        self._last: Elements | None = None
        self._known: dict[Hashable, float | None] = {}
        self.outside = ""

    def value(self, side: Elements) -> tuple[float | None, str]:
        """The value and what is to be said of it."""
        if "." in side.tensor.dtype:
            return None, f"quantised ({side.tensor.dtype})"
        if self._element is not None:
            return self._at(side, self._element)
        before, self._last = self._last, side
        if self._stat == MOVED:
            if before is None or before.size != side.size:
                return None, "" if before is None else "another shape"
            moved = measure([TensorPair(before, side)], whole=not before.same_as(side))[0].moved
            return moved.relative if moved.elements else 0.0, ""
        tensor = side.tensor
        key = tensor.dtype, side.shape, tensor.encoding, repr(tensor.args), tuple(side.pieces)
        if key not in self._known:
            own = measure([TensorPair(None, side)])[0].moved.after
            self._known[key] = STATS[self._stat](own) if own.n or self._stat in ("nan", "inf") else None
        return self._known[key], ""

    def _at(self, side: Elements, element: tuple[int, ...]) -> tuple[float | None, str]:
        shape = side.shape
        inside = len(element) == len(shape) and all(-n <= i < n for i, n in zip(element, shape, strict=True))
        if not inside:
            self.outside = f"its shape is {list(shape)}"
            return None, self.outside
        place = 0
        for index, extent in zip(element, shape, strict=True):
            place = place * extent + index % extent
        wide = moments.values(side.part(place, place + 1))
        return float(abs(wide[0]) if wide.dtype.kind == "c" else wide[0]), ""


def _named(tensors: Tensors, name: str, version: str) -> Elements | None:
    if name in tensors:
        return tensors[name]
    found = [side for side in tensors.values() if name in (side.name, f"{side.path}:{side.name}")]
    if len(found) > 1:
        files = ", ".join(sorted(side.path for side in found))
        raise Ambiguous(
            f"several files of {version} have a tensor {name!r}: {files}", hint=f"write {found[0].address}"
        )
    return found[0] if found else None


def _point(id_: str, record: Record, value: float | None, delta: float | None, note: str) -> Point:
    params = flat(record.params)
    return Point(
        record.name,
        id_,
        record.created_at,
        value,
        delta,
        record.operation.kind,
        record.message,
        {key: value for key, value in params.items() if _UPDATE.search(key)} or params,
        dict(record.params),
        note,
    )
