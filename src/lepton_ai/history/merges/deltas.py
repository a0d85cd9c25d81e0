"""Merging what the models changed: the family of methods that task arithmetic began.

    δᵢ = θᵢ - θ₀        θ = θ₀ + λ·Σ wᵢ·thin(δᵢ)        normalised: divided by Σ wᵢ

Members differ in how a model's differences are thinned out (thin), and in whether the models must agree about the
direction: with a *consensus*, at each element only those differences are added up whose sign is that of the weighted
sum of all (of no sum: plus), and Σ wᵢ is of those alone.

In here differences have the opposite sign, base - model: what is taken away from the base leaves it as it was, bit for
bit, where it is zero. Parameters are named, and mean, as in mergekit. Elements that no model changed stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.linear import WEIGHT
from lepton_ai.history.merges.measures import differences
from lepton_ai.history.merges.passes import by_tiles
from lepton_ai.history.merges.sums import restore, take_away
from lepton_ai.history.merges.thinning import Thin, Thinning, thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lepton_ai.history.merges.contract import Case, Floats, Part
    from lepton_ai.history.merges.measures import Vector

Term = tuple[float, "Vector", Thin]
"""A model's weight, its differences, and how they are thinned out."""

INT8_MASK = Parameter("int8_mask", "has no effect: masks take little memory anyway", False, switch=True)


class Arithmetic(msgspec.Struct, frozen=True):
    """A member of the family; ``normalize`` and ``rescale`` are the defaults of these parameters."""

    name: str
    line: str
    source: str
    thinning: Thinning | None = None
    consensus: bool = False
    normalize: bool = False
    rescale: bool = False
    needs_base: bool = True
    models: tuple[int, int | None] = (1, None)
    aids: tuple[str, ...] = ()
    takes: str = ""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the family and those of the thinning."""
        thin = () if self.thinning is None else self.thinning.parameters
        rescale = Parameter("rescale", "make up for the sizes that were left out", self.rescale, switch=True)
        normalize = Parameter("normalize", "divide by the sum of the weights", self.normalize, switch=True)
        factor = Parameter("lambda", "how far to go from the base", 1.0)
        return (WEIGHT, *thin, normalize, *((rescale,) if thin else ()), factor, INT8_MASK)

    def objection(self, case: Case) -> str:
        """What the thinning objects to."""
        return "" if self.thinning is None else self.thinning.objection(case)

    def prepare(self, case: Case) -> Part:
        """Measure for the thinning."""
        vectors = differences(case)
        given = case.parameters["weight"]
        terms = [
            (weight, vectors[i], thinned(self.thinning, case, i, vectors[i]))
            for i, weight in enumerate(given)
            if weight
        ]
        mix = self._agreed if self.consensus else self._added
        base = case.base
        if base is None:
            raise ValueError("prepared without the base that it needs")

        def formula(start: int, stop: int, out: Floats) -> None:
            mix(case, terms, start, stop, out)
            anchor = base.part(start, stop)
            take_away(anchor, out)
            restore(anchor, (model.part(start, stop) for model in case.models), out)

        return by_tiles(case, formula)

    def _added(self, case: Case, terms: Sequence[Term], start: int, stop: int, out: Floats) -> None:
        import numpy as np

        factor = case.parameters["lambda"]
        total = sum(weight for weight, _, _ in terms)
        if case.parameters["normalize"] and abs(total) >= 1e-8:
            factor = factor / total
        out.fill(0)
        for weight, vector, thin in terms:
            tile = vector(start, stop)
            thin.apply(tile, start)
            if weight * factor != 1:
                np.multiply(tile, weight * factor, out=tile)
            np.add(out, tile, out=out)

    def _agreed(self, case: Case, terms: Sequence[Term], start: int, stop: int, out: Floats) -> None:
        import numpy as np

        tiles = []
        for weight, vector, thin in terms:
            tile = vector(start, stop)
            thin.apply(tile, start)
            tiles.append(np.multiply(tile, weight, out=tile) if weight != 1 else tile)
        weights = [weight for weight, _, _ in terms]
        divisor = agree(tiles, [1.0] * len(tiles), weights if case.parameters["normalize"] else None, out)
        if divisor is not None:
            divisor[divisor == 0] = 1
            np.divide(out, divisor, out=out)
        if case.parameters["lambda"] != 1:
            np.multiply(out, case.parameters["lambda"], out=out)


def agree(
    tiles: Sequence[Floats], factors: Sequence[float], weights: Sequence[float] | None, out: Floats
) -> Floats | None:
    """Fill ``out`` with Σ factorᵢ·tileᵢ over the tiles whose sign is that of their sum; their Σ weightᵢ is given back.

    The tiles, which are negative differences, are used up. Where they cancel out, those below zero are taken.
    """
    import numpy as np

    if not tiles:
        out.fill(0)
        return None
    np.copyto(out, tiles[0])
    for tile in tiles[1:]:
        np.add(out, tile, out=out)
    side = np.greater(out, 0).astype(out.dtype)
    np.multiply(side, 2, out=side)
    np.subtract(side, 1, out=side)  # 1 where what is above zero counts, -1 where what is below
    divisor = None if weights is None else np.zeros_like(out)
    zero = np.zeros_like(out)
    out.fill(0)
    for i, tile in enumerate(tiles):
        np.multiply(tile, side, out=tile)
        np.maximum(tile, zero, out=tile)
        if divisor is not None and weights is not None:
            np.add(divisor, np.greater(tile, 0) * out.dtype.type(weights[i]), out=divisor)
        if factors[i] != 1:
            np.multiply(tile, factors[i], out=tile)
        np.add(out, tile, out=out)
    np.multiply(out, side, out=out)
    return divisor
