"""Fisher: the average in which each element of each model counts by how much that model depends on it.

    θ = Σ wᵢ·Fᵢ·θᵢ / Σ wᵢ·Fᵢ        element by element; where that sum is 0: Σ wᵢ·θᵢ / Σ wᵢ

Fᵢ is the diagonal of model i's Fisher information: the mean of the squared gradients of its log-likelihood. It is given
as a tensor of the same shape for each model, and nothing below 0 counts. Elements in which all models agree stay as
they are.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 1.0, 1.0], [5.0, 5.0, 5.0], aids={"fisher": [[3.0, 0.0, 0.0], [1.0, 2.0, 0.0]]})
[2.0, 5.0, 3.0]

Source: Matena and Raffel, Merging models with Fisher-weighted averaging, 2021, https://arxiv.org/abs/2111.09832
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.linear import WEIGHT, cancelling
from lepton_ai.history.merges.passes import by_tiles
from lepton_ai.history.merges.sums import restore, take_away

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats, Method, Part


class Fisher:
    """The average by importance."""

    name = "fisher"
    line = "the average by how much each model depends on each element (needs Fisher tensors)"
    source = "https://arxiv.org/abs/2111.09832"
    parameters = (WEIGHT,)
    needs_base = False
    models = (1, None)
    aids = ("fisher",)
    takes = ""

    def objection(self, case: Case) -> str:
        """No Fisher tensors, or of another shape; weights that leave nothing."""
        given = case.aids.get("fisher", ())
        if len(given) != len(case.models):
            return "fisher needs a Fisher tensor for each model (--aid fisher=VERSION)"
        if any(aid.shape != case.shape for aid in given):
            shapes = " and ".join(sorted({str(list(aid.shape)) for aid in given}))
            return f"its Fisher tensors are {shapes}, not {list(case.shape)}"
        if any(weight < 0 for weight in case.parameters["weight"]):
            return "fisher takes no negative weights"
        return cancelling(case)

    def prepare(self, case: Case) -> Part:
        """Nothing to measure."""
        weights = case.parameters["weight"]

        def formula(start: int, stop: int, out: Floats) -> None:
            import numpy as np

            counts = [
                np.maximum(aid.part(start, stop).astype(np.float64), 0) * weight
                for aid, weight in zip(case.aids["fisher"], weights, strict=True)
            ]
            total = np.sum(counts, axis=0)
            empty = total == 0
            for count, weight in zip(counts, weights, strict=True):
                count[empty] = weight
            total[empty] = sum(weights)
            parts = [model.part(start, stop) for model in case.models]
            out.fill(0)
            for part, count in zip(parts[1:], counts[1:], strict=True):
                np.add(out, (parts[0] - part) * (count / total).astype(out.dtype), out=out)
            take_away(parts[0], out)
            restore(parts[0], parts[1:], out)

        return by_tiles(case, formula)


METHOD: Method = Fisher()
