"""Theirs: the second model's elements as they are.

    θ = θ₂

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], [9.0, 2.0])
[9.0, 2.0]
"""

from __future__ import annotations

from lepton_ai.history.merges.taking import Take

METHOD = Take("take_theirs", "theirs", "their elements as they are; what we changed is dropped")
