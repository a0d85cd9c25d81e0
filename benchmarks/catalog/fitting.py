"""From three sizes that were measured to sizes that were not: which curve fits, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Points = Sequence[tuple[float, float]]
"""(versions, milliseconds)."""
_CLEARLY = 0.5


class Curve(NamedTuple):
    """``start`` + ``slope`` · log10(versions), or · versions when it is ``linear``."""

    linear: bool
    start: float
    slope: float

    def at(self, versions: float) -> float:
        """Milliseconds; never fewer than none."""
        return max(0.0, self.start + self.slope * _measure(versions, linear=self.linear))


def fit(points: Points) -> Curve:
    """The curve with the smallest squares: a logarithm, as an index grows, unless a straight line is clearly nearer.

    A straight line means that the answer looks at all there is.
    """
    curves = [_line(points, linear=linear) for linear in (False, True)]
    logarithm, line = (sum((curve.at(n) - taken) ** 2 for n, taken in points) for curve in curves)
    grows = len(points) > 2 and points[-1][1] > 1.5 * points[-2][1]
    return curves[1] if grows and line < _CLEARLY * logarithm else curves[0]


def _line(points: Points, *, linear: bool) -> Curve:
    across = [_measure(n, linear=linear) for n, _ in points]
    up = [taken for _, taken in points]
    middle, height = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - middle) ** 2 for x in across)
    slope = (
        sum((x - middle) * (y - height) for x, y in zip(across, up, strict=True)) / spread if spread else 0.0
    )
    slope = max(slope, 0.0)  # nothing gets faster by growing
    return Curve(linear, height - slope * middle, slope)


def _measure(versions: float, *, linear: bool) -> float:
    return versions if linear else math.log10(versions)
