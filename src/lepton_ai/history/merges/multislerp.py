"""Multi-SLERP: the weighted middle of several models on the sphere, as long as they are on average.

    uᵢ = θᵢ / (‖θᵢ‖ + ε)        m = Σ wᵢ·uᵢ        θ = (Σ wᵢ·‖θᵢ‖) · m / ‖m‖

over the whole tensor as one vector, with Σ wᵢ = 1 by ``normalize_weights``. With a base, θᵢ is what the model changed
of it, and the result is added to it. The usual description goes on to interpolate in the plane that touches the sphere
at m; there the weighted sum is zero by construction, so that nothing of it is left. Where the directions cancel out
(‖m‖ < ε) there is no middle, and it is the straight weighted sum Σ wᵢ·θᵢ (for more than two models mergekit gives up).

>>> from lepton_ai.testing.merge_cases import merged
>>> [round(x, 4) for x in merged(METHOD, [2.0, 0.0], [0.0, 4.0])]
[2.1213, 2.1213]

Source: Goddard, Multi-SLERP, 2025, https://goddard.blog/posts/multislerp-wow-what-a-cool-idea
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.linear import WEIGHT
from lepton_ai.history.merges.measures import differences, products
from lepton_ai.history.merges.passes import by_tiles
from lepton_ai.history.merges.sums import summed, towards

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Method, Part


class MultiSlerp:
    """The middle on the sphere."""

    name = "multislerp"
    line = "the weighted middle of several models on the sphere"
    source = "https://goddard.blog/posts/multislerp-wow-what-a-cool-idea"
    parameters = (
        WEIGHT,
        Parameter("normalize_weights", "divide by the sum of the weights", True, switch=True),
        Parameter("eps", "a vector that is no longer than this has no direction", 1e-8, least=0),
    )
    needs_base = False
    models = (1, None)
    aids = ()
    takes = ""

    def objection(self, case: Case) -> str:
        """Weights that cancel out."""
        if case.parameters["normalize_weights"] and abs(sum(case.parameters["weight"])) < 1e-8:
            return (
                "the weights add up to 0 and cannot be normalised: give others, or normalize_weights: false"
            )
        return ""

    def prepare(self, case: Case) -> Part:
        """Measure lengths and angles."""
        if len(case.models) == 1:
            return case.models[0].part
        factors = self._factors(case)
        base = case.base
        if base is None:
            return summed(case.models, factors, case)
        others = [pair for pair in zip(factors, case.models, strict=True) if pair[0]]
        return by_tiles(case, lambda start, stop, out: towards(base, others, start, stop, out))

    def _factors(self, case: Case) -> list[float]:
        weights, eps = case.parameters["weight"], case.parameters["eps"]
        total = sum(weights) if case.parameters["normalize_weights"] else 1
        weights = [weight / total for weight in weights]
        vectors = differences(case) if case.base is not None else [model.part for model in case.models]
        inner = products(vectors, case.size)
        lengths = [math.sqrt(row[i]) for i, row in enumerate(inner)]
        units = [
            weight / (length + eps) if length + eps else 0
            for weight, length in zip(weights, lengths, strict=True)
        ]
        square = sum(a * b * inner[i][j] for i, a in enumerate(units) for j, b in enumerate(units))
        middle = math.sqrt(max(0.0, square))
        if middle < max(eps, 1e-12):
            return weights
        average = sum(weight * length for weight, length in zip(weights, lengths, strict=True))
        return [average / middle * unit for unit in units]


METHOD: Method = MultiSlerp()
