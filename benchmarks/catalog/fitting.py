"""From three sizes that were measured to sizes that were not: which curve fits, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Points = Sequence[tuple[float, float]]
"""(versions, milliseconds)."""
_CLEARLY = 0.5
APART = 0.35
"""A curve that is further than this share from one of the points says nothing."""


class Curve(NamedTuple):
    """``start`` + ``slope`` · log10(versions), or · versions when it is ``linear``."""

    linear: bool
    start: float
    slope: float

    def at(self, versions: float) -> float:
        """Milliseconds; never fewer than none."""
        return max(0.0, self.start + self.slope * _measure(versions, linear=self.linear))


def fit(points: Points) -> Curve | None:
    """The curve with the smallest squares: a logarithm, as an index grows, unless a straight line is clearly nearer.

    A straight line means that the answer looks at all there is. How far a point is from a curve counts in proportion to
    its height, so that each counts alike. None when the nearest curve goes past one of the points: then they tell how
    busy the machine was, not how the answer grows.
    """
    curves = [_line(points, linear=linear) for linear in (False, True)]
    logarithm, line = (sum(_apart(curve, point) ** 2 for point in points) for curve in curves)
    grows = len(points) > 2 and points[-1][1] > 1.5 * points[-2][1]
    nearest = curves[1] if grows and line < _CLEARLY * logarithm else curves[0]
    return nearest if max(_apart(nearest, point) for point in points) <= APART else None


def _line(points: Points, *, linear: bool) -> Curve:
    weights = [1 / taken**2 for _, taken in points]
    across = [_measure(n, linear=linear) for n, _ in points]
    up = [taken for _, taken in points]
    middle, height = (
        sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
        for values in (across, up)
    )
    weighed = list(zip(weights, across, up, strict=True))
    spread = sum(weight * (x - middle) ** 2 for weight, x, _ in weighed)
    slope = sum(weight * (x - middle) * (y - height) for weight, x, y in weighed) / spread if spread else 0.0
    slope = max(slope, 0.0)  # nothing gets faster by growing
    return Curve(linear, height - slope * middle, slope)


def _apart(curve: Curve, point: tuple[float, float]) -> float:
    versions, taken = point
    return abs(curve.at(versions) - taken) / taken


def _measure(versions: float, *, linear: bool) -> float:
    return versions if linear else math.log10(versions)
