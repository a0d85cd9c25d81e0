"""DARE with TIES: a random share of each model's changes, and at each element only those that agree in sign.

    δᵢ as in DARE, linear        s = sign Σ wᵢ·δᵢ (of zero: plus)
    θ = θ₀ + λ·Σ wᵢ·δᵢ   over the i with sign wᵢ·δᵢ = s        with ``normalize``: divided by their Σ wᵢ

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [4.0, 2.0], [2.0, -1.0], base=[0.0, 0.0])
[6.0, 2.0]

Source: Yu et al., Language models are super Mario, 2023, https://arxiv.org/abs/2311.03099
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic
from lepton_ai.history.merges.dropping import Drop

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="dare_ties",
    line="a random share of the changes, where the models agree about the sign",
    source="https://arxiv.org/abs/2311.03099",
    thinning=Drop(),
    consensus=True,
    rescale=True,
)
