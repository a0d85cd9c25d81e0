"""Base: the common ancestor's elements as they are.

    θ = θ₀

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], [9.0, 2.0], base=[0.0, 2.0])
[0.0, 2.0]
"""

from __future__ import annotations

from lepton_ai.history.merges.taking import Take

METHOD = Take(
    "take_base", "base", "the common ancestor's elements as they are; what both sides changed is dropped"
)
