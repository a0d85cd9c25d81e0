"""SCE: the elements in which the models differ most, each model counting by how much it changed, where signs agree.

    select     of δᵢ = θᵢ - θ₀ the elements with the largest variance over the models, the share ``select_topk`` of
               those where it is not zero; else 0
    calculate  wᵢ = mean(δᵢ²) / Σⱼ mean(δⱼ²) over the tensor; equal weights where that sum is below 10⁻⁶
    erase      θ = θ₀ + Σ wᵢ·δᵢ / Σ wᵢ over the i with sign δᵢ = sign Σ δᵢ (of zero: plus)

Σ wᵢ is taken for 10⁻⁶ at least.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [3.0, 1.0], [1.0, -1.0], base=[0.0, 0.0])
[2.6666667461395264, 1.0]

Source: Wan et al., FuseChat: knowledge fusion of chat models, 2024, https://arxiv.org/abs/2408.07990
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.deltas import INT8_MASK, agree
from lepton_ai.history.merges.measures import differences, in_full
from lepton_ai.history.merges.passes import bits, by_tiles, kind, measured, tiles
from lepton_ai.history.merges.selection import Largest, largest
from lepton_ai.history.merges.sums import restore, take_away

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lepton_ai.history.merges.contract import Case, Floats, Method, Part
    from lepton_ai.history.merges.measures import Vector

FAINT = 1e-6


class Sce:
    """Select, calculate, erase."""

    name = "sce"
    line = "the elements in which the models differ most, where they agree about the sign"
    source = "https://arxiv.org/abs/2408.07990"
    parameters = (
        Parameter("select_topk", "the share of the differing elements that is kept", 1.0, least=0, most=1),
        INT8_MASK,
    )
    needs_base = True
    models = (1, None)
    aids = ()
    takes = ""

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def prepare(self, case: Case) -> Part:
        """Find the smallest variance that is kept, then how much each model changed."""
        base, vectors = case.base, differences(case)
        if base is None:
            raise ValueError("prepared without the base that it needs")
        selected = _selected(vectors, case)
        weights = _weights(vectors, case, selected)

        def formula(start: int, stop: int, out: Floats) -> None:
            import numpy as np

            parts = _kept(vectors, case, selected, start, stop)
            divisor = agree(parts, weights, weights, out)
            if divisor is not None:
                np.divide(out, np.maximum(divisor, np.full_like(divisor, FAINT)), out=out)
            anchor = base.part(start, stop)
            take_away(anchor, out)
            restore(anchor, (model.part(start, stop) for model in case.models), out)

        return by_tiles(case, formula)


def _variance(parts: Sequence[Floats], case: Case) -> Any:
    """Its bits: it is not negative, so that they order as it does."""
    import numpy as np

    return bits(np.var([part.astype(np.float64) for part in parts], axis=0).astype(kind(case)))


def _selected(vectors: Sequence[Vector], case: Case) -> Largest | None:
    """The elements with the largest variances; None for all."""
    import numpy as np

    share = case.parameters["select_topk"]
    if share >= 1 or not case.size:
        return None

    def sizes(start: int, stop: int) -> Any:
        return _variance([vector(start, stop) for vector in vectors], case)

    def differing(start: int, stop: int) -> int:
        return sum(int(np.count_nonzero(sizes(begin, end))) for begin, end in tiles(start, stop))

    wanted = int(sum(measured(case.size, differing)) * share)
    return largest(sizes, case.size, wanted) if wanted else Largest(1 << (kind(case).itemsize * 8 - 1), 0)


def _kept(
    vectors: Sequence[Vector], case: Case, selected: Largest | None, start: int, stop: int
) -> list[Floats]:
    import numpy as np

    parts = [vector(start, stop) for vector in vectors]
    if selected is not None:
        mask = selected.chosen(_variance(parts, case), start)
        for part in parts:
            np.multiply(part, mask, out=part)
    return parts


def _weights(vectors: Sequence[Vector], case: Case, selected: Largest | None) -> list[float]:
    import numpy as np

    count = len(vectors)

    def work(start: int, stop: int) -> list[float]:
        totals = [0.0] * count
        for begin, end in tiles(start, stop):
            for i, part in enumerate(in_full(_kept(vectors, case, selected, begin, end))):
                totals[i] += float(np.square(part, out=part).sum())
        return totals

    sums = [math.fsum(column) for column in zip(*measured(case.size, work), strict=True)]
    means = [one / case.size for one in sums]
    if sum(means) < FAINT:
        return [1 / count] * count
    return [mean / sum(means) for mean in means]


METHOD: Method = Sce()
