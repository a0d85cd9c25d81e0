"""Model Breadcrumbs with TIES: neither the smallest nor the very largest changes, where the models agree in sign.

    δᵢ as in Model Breadcrumbs        s = sign Σ wᵢ·δᵢ (of zero: plus)
    θ = θ₀ + λ·Σ wᵢ·δᵢ   over the i with sign wᵢ·δᵢ = s        with ``normalize``: divided by their Σ wᵢ

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [9.0, 1.0, -3.0, 2.0], [5.0, 0.0, 4.0, 2.0], base=[0.0] * 4, density=0.5, gamma=0.25)
[0.0, 0.0, 4.0, 4.0]

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
    name="breadcrumbs_ties",
    line="neither the smallest nor the very largest changes, where the models agree about the sign",
    source="https://arxiv.org/abs/2312.06795",
    thinning=TrimBoth(),
    consensus=True,
)
