"""From three sizes that were measured to sizes that were not: a curve through them, and what it says.

Three points, each with the noise of a machine, do not tell a straight line from a logarithm. So it is known before
which of the two a question follows: nearly all go down an index, some look at every version there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Points = Sequence[tuple[float, float]]
"""(versions, milliseconds)."""
APART = 0.35
"""A curve that is further than this share from one of the points says nothing."""


class Curve(NamedTuple):
    """``start`` + ``slope`` · log10(versions), or · versions when it is ``linear``."""

    linear: bool
    start: float
    slope: float

    def at(self, versions: float) -> float:
        """Milliseconds; never fewer than none."""
        return max(0.0, self.start + self.slope * (versions if self.linear else math.log10(versions)))


def proportional(points: Points) -> Curve:
    """Of what looks at every version: as many times as long as there are times as many versions as measured last."""
    versions, taken = points[-1]
    return Curve(True, 0.0, taken / versions)


def logarithm(points: Points) -> Curve | None:
    """Of what goes down an index: with the smallest squares, each point's distance in proportion to its height.

    None when it goes past one of the points: then they tell how busy the machine was, not how the answer grows.
    """
    weights = [1 / taken**2 for _, taken in points]
    across = [math.log10(n) for n, _ in points]
    up = [taken for _, taken in points]
    middle, height = (
        sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
        for values in (across, up)
    )
    weighed = list(zip(weights, across, up, strict=True))
    spread = sum(weight * (x - middle) ** 2 for weight, x, _ in weighed)
    slope = sum(weight * (x - middle) * (y - height) for weight, x, y in weighed) / spread if spread else 0.0
    slope = max(slope, 0.0)  # nothing gets faster by growing
    found = Curve(False, height - slope * middle, slope)
    return found if all(abs(found.at(n) - taken) <= APART * taken for n, taken in points) else None
