"""Passthrough: the first model's elements, as they are or times a number.

    θ = scale·θ₁

It is what a merge does that puts layers of several models one after the other. Other models are not read.

>>> from lepton_ai.testing.merge_cases import merged
>>> merged(METHOD, [1.0, 2.0], scale=0.5)
[0.5, 1.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.sums import summed

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Method, Part


class Passthrough:
    """One model's elements, scaled."""

    name = "passthrough"
    line = "the first model's elements, as they are or times a number"
    source = ""
    parameters = (Parameter("scale", "what to multiply by", None, each=True),)
    needs_base = False
    models = (1, None)
    aids = ()
    takes = ""

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def prepare(self, case: Case) -> Part:
        """Nothing to measure."""
        scale = case.parameters["scale"][0]
        return case.models[0].part if scale is None else summed(case.models[:1], [scale], case)


METHOD: Method = Passthrough()
