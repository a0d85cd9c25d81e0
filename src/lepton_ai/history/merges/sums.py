"""A weighted sum of parents, element by element, that leaves alone what they agree in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lepton_ai.history.merges.contract import Case, Floats, Parent


class Sum:
    """Σ factorᵢ·parentᵢ. Where the factors add up to 1, elements that all parents share are kept bit for bit."""

    def __init__(self, parents: Sequence[Parent], factors: Sequence[float], case: Case) -> None:
        self._parents, self._wide = parents, case.wide
        self._factors = factors
        self._keeps = math.isclose(sum(factors), 1.0, rel_tol=1e-12)

    def fill(self, start: int, stop: int, out: Floats) -> None:
        """Fill ``out`` with the elements ``start … stop``."""
        import numpy as np

        if not self._parents:
            out[:] = 0
            return
        first = self._parents[0].part(start, stop)
        np.multiply(first, self._factors[0], out=out)
        same, scratch = None, np.empty_like(out)
        for parent, factor in zip(self._parents[1:], self._factors[1:], strict=True):
            part = parent.part(start, stop)
            np.multiply(part, factor, out=scratch)
            np.add(out, scratch, out=out)
            if self._keeps:
                equal = part.view(f"u{part.itemsize}") == first.view(f"u{first.itemsize}")
                same = equal if same is None else np.logical_and(same, equal, out=same)
        if same is not None and same.any():
            np.copyto(out, first, where=same)
