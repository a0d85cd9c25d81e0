"""Task arithmetic: what each model changed is added to the base.

    θ = θ₀ + λ·Σ wᵢ·(θᵢ - θ₀)        with ``normalize``: λ / Σ wᵢ

Weights of 1 keep both changes in full where they do not meet; a negative weight takes a change back.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [2.0, 1.0, 3.0], [1.0, 5.0, 2.0], base=[1.0, 1.0, 1.0])
[2.0, 5.0, 4.0]

Source: Ilharco et al., Editing models with task arithmetic, 2022, https://arxiv.org/abs/2212.04089
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.deltas import Arithmetic

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

METHOD: Method = Arithmetic(
    name="task_arithmetic",
    line="what each model changed, added to the base",
    source="https://arxiv.org/abs/2212.04089",
)
