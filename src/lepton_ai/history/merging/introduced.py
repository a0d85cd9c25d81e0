"""NaN and infinities that a merge brings in: computed, or rounded to a smaller type, where all models are finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_ai.history.elements import Elements
from lepton_ai.history.merging.tensors import is_float

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


class Introduced(NamedTuple):
    """How many elements of a merged tensor are NaN or infinite, though no model's element there is."""

    nan: int = 0
    inf: int = 0

    def joined(self, other: Introduced) -> Introduced:
        """Both parts together."""
        return Introduced(self.nan + other.nan, self.inf + other.inf)


def introduced(data: bytes, mine: Elements, models: Sequence[Elements], start: int) -> Introduced:
    """What the elements ``data`` of a tensor like ``mine``, from ``start`` on, have that ``models`` have not.

    The models are read only where something is not finite.
    """
    import numpy as np

    elements = np.frombuffer(data, np.uint8).view(mine.dtype)
    if not is_float(mine) or _all_finite(elements):
        return Introduced()
    new = ~np.isfinite(elements)
    for model in models:
        if model.shape == mine.shape and is_float(model):
            new &= np.isfinite(model.part(start, start + elements.size))
    nan = int(np.count_nonzero(np.isnan(elements) & new))
    return Introduced(nan, int(np.count_nonzero(new)) - nan)


def _all_finite(elements: Array) -> bool:
    """The same as of ``isfinite``, which is slow for two bytes: their exponents are looked at as integers."""
    import numpy as np

    if elements.dtype.itemsize != 2:
        return bool(np.isfinite(elements).all())
    infinity = np.array(np.inf, elements.dtype).view(np.uint16)
    return not bool(((elements.view(np.uint16) & infinity) == infinity).any())
