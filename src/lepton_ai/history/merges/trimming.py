"""Thinning by size: TIES keeps the largest differences, Model Breadcrumbs those below the very largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.selection import largest, size_bits

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats
    from lepton_ai.history.merges.measures import Vector
    from lepton_ai.history.merges.thinning import Kept

DENSITY = Parameter("density", "the share of the differences that is kept", 1.0, each=True, least=0, most=1)


class Trim:
    """The ``density`` · n largest of n are kept, one at least; of equals those that stand first."""

    parameters: tuple[Parameter, ...] = (DENSITY,)

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def measure(self, case: Case, index: int, vector: Vector) -> Kept:
        """Find the smallest size that is kept."""
        kept = max(1, int(case.parameters["density"][index] * case.size))
        return _chosen(vector, case.size, kept)


class TrimBoth(Trim):
    """The ``gamma`` · n largest are left out, and of the rest the ``density`` · n largest are kept.

    When there is not so much rest, fewer of the largest are left out.
    """

    parameters = (
        DENSITY,
        Parameter("gamma", "the share of the largest that is left out", 0.01, each=True, least=0, most=1),
    )

    def measure(self, case: Case, index: int, vector: Vector) -> Kept:
        """Find the smallest and the largest size that is kept."""
        size = case.size
        wanted = int(case.parameters["density"][index] * size)
        top = min(int(case.parameters["gamma"][index] * size), size - wanted)
        if not wanted:
            return lambda tile, _start: tile != tile  # noqa: PLR0124  (nothing is kept, in the shape of a mask)
        both = _chosen(vector, size, top + wanted)
        if not top:
            return both
        over = _chosen(vector, size, top)
        return lambda tile, start: both(tile, start) & ~over(tile, start)


def _chosen(vector: Vector, size: int, count: int) -> Kept:
    found = largest(lambda start, stop: size_bits(vector(start, stop)), size, count)

    def kept(tile: Floats, start: int) -> Any:
        return found.chosen(size_bits(tile), start)

    return kept
