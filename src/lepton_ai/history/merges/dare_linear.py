"""DARE, linear: of each model's changes a random share, made larger to make up for the rest, added to the base.

    mᵢ ~ Bernoulli(``density``)        δᵢ = mᵢ·(θᵢ - θ₀) · rᵢ        θ = θ₀ + λ·Σ wᵢ·δᵢ

As in mergekit, rᵢ = Σ|θᵢ - θ₀| / Σ|mᵢ·(θᵢ - θ₀)| over the tensor; on average that is the paper's 1/density.
Chance depends on the seed, the tensor's name, the model's place and the element's position, and on nothing else
(mergekit has one stream for all, so that there a mask depends on what was merged before).

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [4.0, 1.0, 2.0], [1.0, 5.0, 2.0], base=[1.0, 1.0, 1.0], density=0.5, seed=0)
[5.0, 6.0, 1.0]

Source: Yu et al., Language models are super Mario, 2023, https://arxiv.org/abs/2311.03099
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic
from lepton_ai.history.merges.dropping import Drop

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="dare_linear",
    line="a random share of the changes, made larger to make up for the rest",
    source="https://arxiv.org/abs/2311.03099",
    thinning=Drop(),
    rescale=True,
)
