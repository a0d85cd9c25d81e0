"""Thinning by chance and size: DELLA keeps large differences with a higher probability than small ones.

In each row of a matrix (of a tensor of more dimensions: along the second one; a vector is one row) the differences are
ranked by size, of equals the first as the smallest. From the smallest to the largest the probability grows evenly from
density - ε to density + ε. The only element of a row has the middle one.

A row of more than 2²² elements is ranked by a histogram of 2¹⁶ sizes, evenly within each, instead of being sorted: its
probabilities are off by ε times the share of the fullest of these at most.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.chance import Chance
from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.passes import STRETCH, measured, shared, tiles
from lepton_ai.history.merges.selection import size_bits
from lepton_ai.history.merges.thinning import Marks

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats
    from lepton_ai.history.merges.measures import Vector
    from lepton_ai.history.merges.thinning import Kept

LONG = 1 << 22
_BINS = 16


class Rank:
    """Kept with a probability around ``density``, by rank."""

    parameters = (
        Parameter(
            "density", "the mean probability with which a difference is kept", 1.0, each=True, least=0, most=1
        ),
        Parameter("epsilon", "how much more likely the largest is kept", 0.15, each=True, least=0, most=0.5),
    )

    def objection(self, case: Case) -> str:
        """Probabilities below 0 or above 1."""
        both = zip(case.parameters["density"], case.parameters["epsilon"], strict=True)
        for density, epsilon in both:
            if 0 < density < 1 and not (density - epsilon > 0 and density + epsilon < 1):
                return f"density {density:g} ± epsilon {epsilon:g} reaches beyond 0 and 1: give a smaller epsilon"
        return ""

    def measure(self, case: Case, index: int, vector: Vector) -> Kept:
        """Decide about every element: the ranks of a whole row are needed for one."""
        chance = Chance(case, index)
        low = case.parameters["density"][index] - case.parameters["epsilon"][index]
        spread = 2 * case.parameters["epsilon"][index]
        shape = case.shape if len(case.shape) > 1 else (1, case.size)
        unit = prod(shape[1:])
        marks = Marks(case.size)
        if len(shape) == 2 and unit > LONG and (shape[0] == 1 or unit % 8 == 0):
            for row in range(shape[0]):
                _long_row(vector, chance, (row * unit, (row + 1) * unit), (low, spread), marks)
            return marks.kept
        group = max(8, STRETCH // unit // 8 * 8) * unit  # of eight units: whole bytes of marks

        batch = max(1, STRETCH // unit) * unit

        def work(start: int, stop: int) -> None:
            import numpy as np

            mask = np.empty(stop - start, bool)
            for begin, end in tiles(start, stop, batch):
                some = vector(begin, end).reshape(-1, shape[1], unit // shape[1])
                dice = uniform(chance, begin, end).reshape(some.shape)
                mask[begin - start : end - start] = _by_rank(some, dice, low, spread).reshape(-1)
            marks.put(start, mask)

        shared(list(tiles(0, case.size, group)), work)
        return marks.kept


def uniform(chance: Chance, start: int, stop: int) -> Any:
    """Numbers between 0 and 1 for these positions, 1 not included: multiples of 2⁻²⁴, exact in float32."""
    import numpy as np

    return (chance.numbers(start, stop) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _by_rank(some: Floats, dice: Any, low: float, spread: float) -> Any:
    """The mask of some units, ranked along their second axis."""
    import numpy as np

    sizes, dice = (np.ascontiguousarray(each.swapaxes(1, 2)) for each in (size_bits(some), dice))
    order, count = _order(sizes), sizes.shape[2]
    share = np.arange(count, dtype=np.float32) / (count - 1) if count > 1 else np.full(1, 0.5, np.float32)
    mask = np.empty(order.shape, bool)
    np.put_along_axis(mask, order, np.take_along_axis(dice, order, axis=2) < low + share * spread, axis=2)
    return mask.swapaxes(1, 2)


def _order(sizes: Any) -> Any:
    """What sorts along the last axis; equals stay in order, whatever the processor."""
    import numpy as np

    if sizes.itemsize != 4:
        return np.argsort(sizes, axis=-1, kind="stable")
    keys = sizes.astype(np.uint64) << np.uint64(32)  # sorting numbers is faster than sorting places by them
    keys |= np.arange(sizes.shape[-1], dtype=np.uint64)
    keys.sort(axis=-1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def _long_row(
    vector: Vector, chance: Chance, row: tuple[int, int], odds: tuple[float, float], marks: Marks
) -> None:
    import numpy as np

    first, end = row
    low, spread = odds

    def places(start: int, stop: int) -> tuple[Any, Any]:
        sizes = size_bits(vector(first + start, first + stop))
        shift = sizes.dtype.itemsize * 8 - 1 - _BINS
        within = (sizes & sizes.dtype.type((1 << shift) - 1)).astype(np.float64) / (1 << shift)
        return (sizes >> sizes.dtype.type(shift)).astype(np.intp), within

    def count(start: int, stop: int) -> Any:
        counts = np.zeros(1 << _BINS, np.int64)
        for begin, stop_ in tiles(start, stop):
            counts += np.bincount(places(begin, stop_)[0], minlength=1 << _BINS)
        return counts

    counts = sum(measured(end - first, count))
    below = np.cumsum(counts) - counts

    def decide(start: int, stop: int) -> None:
        bins, within = places(start, stop)
        share = (below[bins] + counts[bins] * within) / (end - first)
        marks.put(first + start, uniform(chance, first + start, first + stop) < low + share * spread)

    measured(end - first, decide)
