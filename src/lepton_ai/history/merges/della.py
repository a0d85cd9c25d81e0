"""DELLA: a random share of each model's changes, large ones more likely, where the models agree about the sign.

    pᵢ = density - ε … density + ε by rank in the row        δᵢ = (mᵢ ~ Bernoulli(pᵢ))·(θᵢ - θ₀) · rᵢ
    θ = θ₀ + λ · Σ wᵢ·δᵢ / Σ wᵢ   over the i with sign wᵢ·δᵢ = sign Σ wᵢ·δᵢ (of zero: plus)

rᵢ as in DARE, linear: one factor for the tensor, as in mergekit (the paper divides each by its pᵢ).

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [4.0, 2.0], [2.0, -1.0], base=[0.0, 0.0])
[3.0, 2.0]

Source: Deep et al., DELLA-merging: reducing interference in model merging through magnitude-based sampling, 2024,
    https://arxiv.org/abs/2406.11617
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic
from lepton_ai.history.merges.ranking import Rank

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="della",
    line="a random share of the changes, large ones more likely, where the models agree about the sign",
    source="https://arxiv.org/abs/2406.11617",
    thinning=Rank(),
    consensus=True,
    normalize=True,
    rescale=True,
)
