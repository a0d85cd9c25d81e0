"""Model Stock: between the base and the average of the models, nearer to the average the more they agree.

    δᵢ = θᵢ - θ₀        c = the mean of cos(δᵢ, δⱼ) over all pairs        t = N·c / (1 + (N - 1)·c)
    θ = t·(Σ θᵢ / N) + (1 - t)·θ₀

over the whole tensor as one vector, or with ``filter_wise`` over each row along its last dimension. ‖δᵢ‖·‖δⱼ‖ is taken
for 10⁻⁶ at least. Where the models pull apart so far that t has no value (1 + (N - 1)·c = 0) the base stays.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [2.0, 0.0], [1.0, 1.0], base=[0.0, 0.0])
[1.242640733718872, 0.4142135679721832]

Source: Jang et al., Model stock: all we need is just a few fine-tuned models, 2024, https://arxiv.org/abs/2403.19522
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.measures import differences, in_full, products
from lepton_ai.history.merges.passes import STRETCH, by_tiles, kind, shared, tiles
from lepton_ai.history.merges.sums import restore, take_away, towards

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats, Method, Part

FAINT = 1e-6


class ModelStock:
    """The nearest point to the centre of where fine-tuning ends."""

    name = "model_stock"
    line = "between the base and the models' average, by how much they agree"
    source = "https://arxiv.org/abs/2403.19522"
    parameters = (Parameter("filter_wise", "each row for itself, not the whole tensor", False, switch=True),)
    needs_base = True
    models = (2, None)
    aids = ()
    takes = ""

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def prepare(self, case: Case) -> Part:
        """Measure the angles."""
        base, count = case.base, len(case.models)
        if base is None:
            raise ValueError("prepared without the base that it needs")
        if case.parameters["filter_wise"] and len(case.shape) > 1 and case.size:
            return self._by_rows(case)
        t = float(_share(products(differences(case), case.size)))
        others = [(t / count, model) for model in case.models] if t else []
        return by_tiles(case, lambda start, stop, out: towards(base, others, start, stop, out))

    def _by_rows(self, case: Case) -> Part:
        import numpy as np

        base, vectors, row = case.base, differences(case), case.shape[-1]
        if base is None:
            raise ValueError("prepared without the base that it needs")
        shares = np.empty(case.size // row, kind(case))

        def measure(start: int, stop: int) -> None:
            parts = [part.reshape(-1, row) for part in in_full([vector(start, stop) for vector in vectors])]
            inner = [[np.multiply(one, other).sum(axis=1) for other in parts] for one in parts]
            shares[start // row : stop // row] = _share(inner) / len(vectors)

        shared(list(tiles(0, case.size, max(1, STRETCH // row) * row)), measure)

        def formula(start: int, stop: int, out: Floats) -> None:
            out.fill(0)
            for vector in vectors:
                np.add(out, vector(start, stop), out=out)
            np.multiply(out, shares[np.arange(start, stop) // row], out=out)
            anchor = base.part(start, stop)
            take_away(anchor, out)
            restore(anchor, (model.part(start, stop) for model in case.models), out)

        return by_tiles(case, formula)


def _share(inner: Any) -> Any:
    """How far to go to the average, from the inner products of what the models changed."""
    import numpy as np

    count = len(inner)
    cosines = [
        np.clip(inner[i][j] / np.maximum(np.sqrt(inner[i][i]) * np.sqrt(inner[j][j]), FAINT), -1, 1)
        for i in range(count)
        for j in range(i + 1, count)
    ]
    cosine = sum(cosines) / len(cosines)
    divisor = 1 + (count - 1) * cosine
    nowhere = np.abs(divisor) < FAINT
    return np.where(nowhere, 0.0, count * cosine / np.where(nowhere, 1.0, divisor))


METHOD: Method = ModelStock()
