"""TIES: of each model's changes the largest, and at each element only those that agree with the majority.

    δᵢ = the ``density`` · n largest of θᵢ - θ₀, else 0        s = sign Σ wᵢ·δᵢ (of zero: plus)
    θ = θ₀ + λ · Σ wᵢ·δᵢ / Σ wᵢ   over the i with sign wᵢ·δᵢ = s, element by element

Of differences of equal size those that stand first are kept, one at least.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [4.0, 1.0, 0.0, 2.0], [2.0, -2.0, 0.5, 2.0], base=[0.0, 0.0, 0.0, 2.0], density=0.5)
[3.0, -2.0, 0.0, 2.0]

Source: Yadav et al., TIES-merging: resolving interference when merging models, 2023, https://arxiv.org/abs/2306.01708
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic
from lepton_ai.history.merges.trimming import Trim

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="ties",
    line="the largest changes, where the models agree about the sign",
    source="https://arxiv.org/abs/2306.01708",
    thinning=Trim(),
    consensus=True,
    normalize=True,
)
