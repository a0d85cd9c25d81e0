"""Read what differs of pairs of tensors, and nothing else, a part at a time on both cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_ai.errors import Unsupported
from lepton_ai.history import side_by_side
from lepton_ai.history.counterparts import TensorPair
from lepton_ai.history.diff import integers, moments
from lepton_ai.history.diff.contract import Histogram
from lepton_ai.history.diff.moments import Moved, Own
from lepton_ai.history.elements import Elements, Range
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.pipeline import Pool

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

PART = 1 << 20
"""Bytes that are read of a tensor at a time: a block of the store."""
STEP = 1 << 16
"""Elements that are calculated with at a time: in float64 they still fit a processor's cache."""


class Measured(NamedTuple):
    """What was found of a pair: ``elements`` were looked at; ``numeric`` says whether they are numbers.

    ``problem``: why they cannot be looked at. ``histogram`` is made of the moments' bins, which are not kept: there may
    be many pairs.
    """

    moved: Moved = moments.NOTHING
    elements: int = 0
    numeric: bool = True
    problem: str = ""
    histogram: Histogram | None = None

    def joined(self, other: Measured) -> Measured:
        """Both parts together."""
        return Measured(
            self.moved.joined(other.moved),
            self.elements + other.elements,
            self.numeric and other.numeric,
            self.problem or other.problem,
        )

    def settled(self) -> Measured:
        """The same, when nothing more comes to it."""
        shown = moments.histogram(self.moved.bins)
        return self._replace(moved=self.moved._replace(bins=None), histogram=shown)


class _Task(NamedTuple):
    number: int
    pair: TensorPair
    start: int
    stop: int


def measure(
    pairs: Sequence[TensorPair], *, whole: bool = False, progress: Progress = SILENT
) -> list[Measured]:
    """What lies between the two sides of each pair, or what the only side is like.

    Of pairs of one type and shape only the blocks that differ are read; all with ``whole``. Sides of other sizes are
    measured each for itself.

    Raises:
        Damaged, KeyMissing, TooNew, StorageFailed.
    """
    ranges = [_ranges(pair, whole=whole) for pair in pairs]
    found = [Measured() for _ in pairs]
    progress.start("comparing", sum(_nbytes(p, r) for p, r in zip(pairs, ranges, strict=True)))
    with Pool() as pool:
        last = 0
        for task, result in pool.map(_try, _tasks(pairs, ranges)):
            if task.number != last:
                found[last], last = found[last].settled(), task.number
            found[last] = found[last].joined(result)
            progress.advance(_nbytes(task.pair, [(task.start, task.stop)]))
    return [*found[:last], *(one.settled() for one in found[last:])]


def comparable(pair: TensorPair) -> bool:
    """Whether the elements of both sides correspond to each other: there are as many."""
    return pair.before is not None and pair.after is not None and pair.before.size == pair.after.size


def _ranges(pair: TensorPair, *, whole: bool) -> list[Range]:
    before, after = pair
    if before is None or after is None:
        return [(0, (before or after).size)]  # type: ignore[union-attr]  # one of them is there
    if not comparable(pair):
        return [(0, max(before.size, after.size))]
    alike = before.tensor.dtype == after.tensor.dtype
    return before.differing(after) if alike and not whole else [(0, before.size)]


def _tasks(pairs: Sequence[TensorPair], ranges: Iterable[list[Range]]) -> Iterator[_Task]:
    for number, (pair, found) in enumerate(zip(pairs, ranges, strict=True)):
        step = _step(pair)
        for start, stop in found:
            for at in range(start, stop, step):
                yield _Task(number, pair, at, min(at + step, stop))


def _step(pair: TensorPair) -> int:
    """Elements that are read together: all of what is decoded whole anyway."""
    there = [side for side in pair if side is not None]
    if not all(side.plain for side in there):
        return max(1, *(side.size for side in there))
    return PART // max(side.dtype.itemsize for side in there)


def _nbytes(pair: TensorPair, ranges: list[Range]) -> int:
    width = sum(side.dtype.itemsize for side in pair if side is not None)
    return width * sum(stop - start for start, stop in ranges)


def _try(task: _Task) -> tuple[_Task, Measured]:
    """One that cannot be decoded here must not hide what is known of all the others."""
    try:
        return _work(task)
    except Unsupported as problem:
        return task, Measured(problem=problem.message)


def _work(task: _Task) -> tuple[_Task, Measured]:
    import numpy as np

    before, after = task.pair
    with np.errstate(all="ignore"):  # what overflows is told as such
        if before is not None and after is not None and comparable(task.pair):
            newer, older = side_by_side.parts((after, before), task.start, task.stop)
            if _own_type(before) or _own_type(after):
                return task, _uncountable(older, newer)
            return task, _between(older, newer)
        one, numeric = _alone(before, task)
        other, also = _alone(after, task)
        return task, Measured(Moved(one, other), task.stop - task.start, numeric and also)


def _own_type(side: Elements) -> bool:
    """Whether its elements are the bytes of blocks that only its format can read (quantised ones)."""
    return "." in side.tensor.dtype


def _uncountable(before: Array, after: Array) -> Measured:
    moved = Moved(Own(), Own(), len(before), moments.differing(before, after))
    return Measured(moved, len(before), numeric=False)


def _between(before: Array, after: Array) -> Measured:
    found = moments.NOTHING
    for at in range(0, len(before), STEP):
        one, other = before[at : at + STEP], after[at : at + STEP]
        changed = moments.differing(one, other)
        wide, wider = moments.values(one), moments.values(other)
        delta = integers.delta(one, other) if integers.are(one, other) else None
        found = found.joined(moments.moved(wide, wider, changed, delta))
    return Measured(found, len(before))


def _alone(side: Elements | None, task: _Task) -> tuple[Own, bool]:
    found = Own()
    if side is None or task.start >= side.size:
        return found, True
    if _own_type(side):
        return found, False
    array = side.part(task.start, min(task.stop, side.size))
    for at in range(0, len(array), STEP):
        found = found.joined(moments.own(moments.values(array[at : at + STEP])))
    return found, True
