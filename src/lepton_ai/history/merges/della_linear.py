"""DELLA, linear: a random share of each model's changes, large ones more likely, added to the base.

    δᵢ as in DELLA        θ = θ₀ + λ·Σ wᵢ·δᵢ

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [4.0, 2.0], [2.0, -1.0], base=[0.0, 0.0])
[6.0, 1.0]

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
    name="della_linear",
    line="a random share of the changes, large ones more likely, added to the base",
    source="https://arxiv.org/abs/2406.11617",
    thinning=Rank(),
    rescale=True,
)
