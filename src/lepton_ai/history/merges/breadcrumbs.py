"""Model Breadcrumbs: of each model's changes neither the smallest nor the very largest, added to the base.

    δᵢ = θᵢ - θ₀ without its ``gamma`` · n largest, of the rest the ``density`` · n largest, else 0
    θ = θ₀ + λ·Σ wᵢ·δᵢ

Both shares are of all n elements of the tensor. When they exceed the whole, fewer of the largest are left out.
(mergekit before 0.1.5 left out everything where ``gamma`` · n was below 1.)

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [9.0, 1.0, -3.0, 2.0], base=[0.0, 0.0, 0.0, 0.0], density=0.5, gamma=0.25)
[0.0, 0.0, -3.0, 2.0]

Source: Davari and Belilovsky, Model breadcrumbs: scaling multi-task model merging with sparse masks, 2023,
    https://arxiv.org/abs/2312.06795
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic
from lepton_ai.history.merges.trimming import TrimBoth

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="breadcrumbs",
    line="neither the smallest nor the very largest changes, added to the base",
    source="https://arxiv.org/abs/2312.06795",
    thinning=TrimBoth(),
)
