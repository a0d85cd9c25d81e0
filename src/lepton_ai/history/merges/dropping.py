"""Thinning by chance: DARE keeps every difference with the same probability, whatever its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.merges.chance import Chance
from lepton_ai.history.merges.contract import Parameter

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case
    from lepton_ai.history.merges.measures import Vector
    from lepton_ai.history.merges.thinning import Kept


class Drop:
    """Each is kept with the probability ``density``."""

    parameters = (
        Parameter(
            "density", "the probability with which a difference is kept", 1.0, each=True, least=0, most=1
        ),
    )

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def measure(self, case: Case, index: int, _vector: Vector) -> Kept:
        """Nothing to measure."""
        chance, share = Chance(case, index), case.parameters["density"][index]
        return lambda tile, start: chance.kept(start, start + len(tile), share)
