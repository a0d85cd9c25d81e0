"""Linear: the weighted average of the models ("model soup").

    θ = Σ wᵢ·θᵢ / Σ wᵢ        without ``normalize``: θ = Σ wᵢ·θᵢ

A model of weight 0 is not read, so that weights 1 and 0 take the first model bit for bit. With ``normalize``, elements
in which all models agree stay as they are, bit for bit. Weights that cancel out (Σ wᵢ = 0) cannot be normalised.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], [3.0, 2.0], weight=[3, 1])
[1.5, 2.0]

Source: Wortsman et al., Model soups, 2022, https://arxiv.org/abs/2203.05482
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.passes import by_tiles
from lepton_ai.history.merges.sums import Sum

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Part


class Linear:
    """See above."""

    name = "linear"
    line = "the weighted average of the models"
    source = "https://arxiv.org/abs/2203.05482"
    parameters = (
        Parameter("weight", "how much each model counts", 1.0, each=True),
        Parameter("normalize", "divide by the sum of the weights", True, switch=True),
    )
    needs_base = False
    models = (1, None)
    aids = ()
    takes = ""

    def objection(self, case: Case) -> str:
        """Weights that cancel out."""
        if case.parameters["normalize"] and abs(sum(case.parameters["weight"])) < 1e-8:
            return "the weights add up to 0, which cannot be normalised: give others, or normalize: false"
        return ""

    def prepare(self, case: Case) -> Part:
        """Nothing to measure."""
        weights = case.parameters["weight"]
        total = sum(weights) if case.parameters["normalize"] else 1.0
        used = [(parent, weight) for parent, weight in zip(case.models, weights, strict=True) if weight]
        if len(used) == 1 and used[0][1] == total:
            return used[0][0].part
        average = Sum([parent for parent, _ in used], [weight / total for _, weight in used], case)
        return by_tiles(case, average.fill)


METHOD: Any = Linear()
