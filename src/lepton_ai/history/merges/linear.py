"""Linear: the weighted average of the models ("model soup").

    θ = Σ wᵢ·θᵢ / Σ wᵢ        without ``normalize``: θ = Σ wᵢ·θᵢ

A model of weight 0 is not read, so that weights 1 and 0 take the first model bit for bit. Elements in which all models
agree stay as they are, bit for bit, when the weights are normalised or add up to 1. Weights that cancel out (Σ wᵢ = 0)
cannot be normalised.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], [3.0, 2.0], weight=[3, 1])
[1.5, 2.0]

Source: Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time, 2022, https://arxiv.org/abs/2203.05482
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.sums import summed

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Method, Part

WEIGHT = Parameter("weight", "how much each model counts", 1.0, each=True)
NORMALIZE = Parameter("normalize", "divide by the sum of the weights", True, switch=True)


class Linear:
    """The weighted average."""

    name = "linear"
    line = "the weighted average of the models"
    source = "https://arxiv.org/abs/2203.05482"
    parameters = (WEIGHT, NORMALIZE)
    needs_base = False
    models = (1, None)
    aids = ()
    takes = ""

    def objection(self, case: Case) -> str:
        """Weights that cancel out."""
        return cancelling(case) if case.parameters["normalize"] else ""

    def prepare(self, case: Case) -> Part:
        """Nothing to measure."""
        weights = case.parameters["weight"]
        total = sum(weights) if case.parameters["normalize"] else 1
        return summed(case.models, [weight / total for weight in weights], case)


def cancelling(case: Case) -> str:
    """The objection to weights that add up to nothing."""
    if abs(sum(case.parameters["weight"])) < 1e-8:
        return "the weights add up to 0 and cannot be normalised: give others, or normalize: false"
    return ""


METHOD: Method = Linear()
