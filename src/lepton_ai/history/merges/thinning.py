"""What the ways of thinning out a model's differences share: leaving them out, and making up for their weight.

A thinning decides for each element of a difference whether it is kept; the others become zero. With ``rescale`` what
is kept is made larger, so that the sizes of all elements add up to what they did before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from lepton_ai.history.merges.measures import in_full
from lepton_ai.history.merges.passes import measured, tiles

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats, Parameter
    from lepton_ai.history.merges.measures import Vector

Kept = Callable[["Floats", int], Any]
"""For a part of the differences, from a position on: for each element whether it is kept."""


REMEMBERED = 1 << 28
"""Elements for which it is remembered what was kept: 32 MiB. For more it is decided again when it is needed."""

FAINT = 1e-7
"""Sizes that add up to less than this are not made up for."""


class Thinning(Protocol):
    """Decides what of a model's differences is kept."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it can be told, for each model; ``density`` among them."""

    def objection(self, case: Case) -> str:
        """Why it cannot, as for a method."""

    def measure(self, case: Case, index: int, vector: Vector) -> Kept:
        """What is kept of model ``index``, whose differences are ``vector``. Its density lies between 0 and 1."""


class Thin:
    """Thins out the differences of one model, a tile at a time."""

    def __init__(self, kept: Kept | None, scale: float, nothing: bool = False) -> None:
        self._kept, self._scale, self._nothing = kept, scale, nothing

    def apply(self, tile: Floats, start: int) -> None:
        """Thin out ``tile``, which begins at position ``start``, in place."""
        import numpy as np

        if self._nothing:
            np.multiply(tile, 0.0, out=tile)
        elif self._kept is not None:
            np.multiply(tile, self._kept(tile, start), out=tile)
            if self._scale != 1:
                np.multiply(tile, self._scale, out=tile)


def thinned(thinning: Thinning | None, case: Case, index: int, vector: Vector) -> Thin:
    """How the differences ``vector`` of model ``index`` are thinned out."""
    density = 1.0 if thinning is None else case.parameters["density"][index]
    if thinning is None or density >= 1 or case.size == 0:
        return Thin(None, 1.0)
    if density <= 0:
        return Thin(None, 1.0, nothing=True)
    kept = thinning.measure(case, index, vector)
    return rescaled(kept, case.size, vector) if case.parameters["rescale"] else Thin(kept, 1.0)


def rescaled(kept: Kept, size: int, vector: Vector) -> Thin:
    """A thinning that makes up for what it leaves out. What was decided to measure this is remembered, up to a size."""
    marks = Marks(size) if size <= REMEMBERED else None

    def work(start: int, stop: int) -> tuple[float, float]:
        import numpy as np

        before = after = 0.0
        for begin, end in tiles(start, stop):
            tile = vector(begin, end)
            mask = kept(tile, begin)
            if marks is not None:
                marks.put(begin, mask)
            (full,) = in_full([np.abs(tile)])
            before += float(full.sum())
            after += float(np.multiply(full, mask, out=full).sum())
        return before, after

    before, after = (math.fsum(column) for column in zip(*measured(size, work), strict=True))
    scale = before / after if before >= FAINT and after >= FAINT else 1.0
    return Thin(kept if marks is None else marks.kept, scale)


class Marks:
    """A bit for each element of a tensor. Several threads may write, each its own part."""

    def __init__(self, size: int) -> None:
        import numpy as np

        self._bits = np.zeros(-(-size // 8), np.uint8)

    def put(self, start: int, mask: Any) -> None:
        """Mark from ``start`` on, a multiple of 8; so is the length of ``mask``, but for the last."""
        import numpy as np

        packed = np.packbits(mask)
        self._bits[start // 8 : start // 8 + len(packed)] = packed

    def kept(self, tile: Floats, start: int) -> Any:
        """What was marked, for the elements of a tile."""
        import numpy as np

        skip = start % 8
        some = self._bits[start // 8 : -(-(start + len(tile)) // 8)]
        return np.unpackbits(some)[skip : skip + len(tile)].view(bool)
