"""SLERP: from our weights to theirs along the arc between them, not the chord.

    θ = sin((1 - t)·Ω)/sin Ω · θ₁ + sin(t·Ω)/sin Ω · θ₂        cos Ω = ⟨θ₁, θ₂⟩ / (‖θ₁‖·‖θ₂‖)

over the whole tensor as one vector. ``t`` = 0 is ours, 1 is theirs. Where they are almost parallel or opposite
(|cos Ω| > 0.9995), or one of them is shorter than 10⁻⁸, there is no arc to speak of, and it is the straight line:
(1 - t)·θ₁ + t·θ₂. The base is not used.

>>> from lepton_ai.testing.merge_cases import merged
>>> [round(x, 4) for x in merged(METHOD, [1.0, 0.0], [0.0, 1.0], t=0.5)]
[0.7071, 0.7071]

Source: Shoemake, Animating rotation with quaternion curves, 1985, https://doi.org/10.1145/325165.325242
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.measures import products
from lepton_ai.history.merges.sums import summed

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Method, Part

PARALLEL = 0.9995
SHORT = 1e-8
"""A vector that is no longer than this has no direction."""


class Slerp:
    """The point at ``t`` of the arc."""

    name = "slerp"
    line = "from ours to theirs along the arc between them"
    source = "https://doi.org/10.1145/325165.325242"
    parameters = (Parameter("t", "how far to go, from 0 (ours) to 1 (theirs)", 0.5, least=0, most=1),)
    needs_base = False
    models = (2, 2)
    aids = ()
    takes = ""

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def prepare(self, case: Case) -> Part:
        """Measure the angle."""
        t = float(case.parameters["t"])
        if t in (0, 1):
            return case.models[int(t)].part
        (one, inner), (_, other) = products([model.part for model in case.models], case.size)
        lengths = math.sqrt(one), math.sqrt(other)
        cosine = 1.0 if min(lengths) <= SHORT else max(-1.0, min(1.0, inner / lengths[0] / lengths[1]))
        if abs(cosine) > PARALLEL:
            return summed(case.models, [1 - t, t], case)
        angle = math.acos(cosine)
        factors = [math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)]
        return summed(case.models, factors, case)


METHOD: Method = Slerp()
