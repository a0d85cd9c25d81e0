"""Ours: the first model's elements as they are.

    θ = θ₁

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], [9.0, 2.0])
[1.0, 2.0]
"""

from __future__ import annotations

from lepton_ai.history.merges.taking import Take

METHOD = Take("take_ours", "ours", "our elements as they are; what they changed is dropped")
