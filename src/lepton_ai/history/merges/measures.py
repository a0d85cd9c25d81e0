"""What a whole tensor tells in few numbers: sums over all its elements, in float64.

NaN and infinity have no size: an element that is not finite in one of the vectors counts as zero in all of them, so
that one bad number does not spread to every other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.passes import kind, measured, tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lepton_ai.history.merges.contract import Case, Floats

    Vector = Callable[[int, int], Floats]
    """The elements ``start … stop`` of something made of the parents."""


def differences(case: Case) -> list[Vector]:
    """Of each model, base - model: the negative of what training changed."""
    return [_difference(case, index) for index in range(len(case.models))]


def _difference(case: Case, index: int) -> Vector:
    base, model = case.base, case.models[index]
    if base is None:
        raise ValueError("there is no base to differ from")

    def vector(start: int, stop: int) -> Floats:
        import numpy as np

        return np.subtract(base.part(start, stop), model.part(start, stop), dtype=kind(case))

    return vector


def products(vectors: Sequence[Vector], size: int) -> list[list[float]]:
    """The inner product of each two vectors: on the diagonal the squares of their lengths."""
    count = len(vectors)
    pairs = [(i, j) for i in range(count) for j in range(i, count)]

    def work(start: int, stop: int) -> list[float]:
        totals = [0.0] * len(pairs)
        for begin, end in tiles(start, stop):
            parts = in_full([vector(begin, end) for vector in vectors])
            for place, (i, j) in enumerate(pairs):
                totals[place] += _inner(parts[i], parts[j])
        return totals

    found = [math.fsum(column) for column in zip(*measured(size, work), strict=True)] or [0.0] * len(pairs)
    table = dict(zip(pairs, found, strict=True))
    return [[table[min(i, j), max(i, j)] for j in range(count)] for i in range(count)]


def in_full(parts: Sequence[Floats]) -> list[Any]:
    """The same in float64, with zero where one of them is not finite."""
    import numpy as np

    wide = [part.astype(np.float64) for part in parts]
    if not all(np.isfinite(part).all() for part in wide):
        whole = np.logical_and.reduce([np.isfinite(part) for part in wide])
        for part in wide:
            part[~whole] = 0
    return wide


def _inner(one: Any, other: Any) -> float:
    import numpy as np

    # Not np.dot: its order of adding, and so the last bit, is another on another processor.
    return float(np.multiply(one, other).sum())
