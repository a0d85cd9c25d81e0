"""A weighted sum of parents, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lepton_ai.history.merges.passes import bits, by_tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lepton_ai.history.merges.contract import Case, Floats, Parent, Part


ROUNDING = 1e-14
"""How far from 1 computed factors may add up that are meant to; large ones that cancel out are rounded more."""


def summed(parents: Sequence[Parent], factors: Sequence[float], case: Case) -> Part:
    """Σ factorᵢ·parentᵢ; a parent of factor 0 is not read.

    Factors that add up to 1 make an average: it starts from the parent that counts most and goes towards the others,
    so that elements which all parents share are kept bit for bit.
    """
    used = [(factor, parent) for factor, parent in zip(factors, parents, strict=True) if factor]
    used.sort(key=lambda pair: -abs(pair[0]))
    if not used:
        return by_tiles(case, lambda _start, _stop, out: out.fill(0))
    total, spread = math.fsum(factor for factor, _ in used), sum(abs(factor) for factor, _ in used)
    average = abs(total - 1) <= ROUNDING * max(1.0, spread) ** 2
    if average and len(used) == 1:
        return used[0][1].part
    if average:
        first, others = used[0][1], used[1:]
        return by_tiles(case, lambda start, stop, out: towards(first, others, start, stop, out))
    return by_tiles(case, lambda start, stop, out: _add(used, start, stop, out))


def towards(
    first: Parent, others: Iterable[tuple[float, Parent]], start: int, stop: int, out: Floats
) -> None:
    """first + Σ factorᵢ·(parentᵢ - first), with no rounding where a parent equals the first."""
    import numpy as np

    anchor, parts, scratch = first.part(start, stop), [], np.empty_like(out)
    out.fill(0)
    for factor, parent in others:
        parts.append(parent.part(start, stop))
        np.subtract(anchor, parts[-1], out=scratch)
        np.multiply(scratch, factor, out=scratch)
        np.add(out, scratch, out=out)
    take_away(anchor, out)
    restore(anchor, parts, out)


def take_away(anchor: Floats, out: Floats) -> None:
    """``out`` = anchor - out. Where nothing is taken away the anchor stays, a negative zero too."""
    import numpy as np

    np.add(out, 0.0, out=out)  # -0 - 0 is -0, but -0 - -0 is not
    np.subtract(anchor, out, out=out)


def restore(anchor: Floats, parts: Iterable[Floats], out: Floats) -> None:
    """Infinity less infinity is no number: put back what all ``parts`` share with ``anchor`` and ``out`` lost."""
    import numpy as np

    if np.isfinite(out).all():
        return
    lost = ~np.isfinite(out)
    for part in parts:
        lost &= bits(part) == bits(anchor)
    out[lost] = anchor[lost]


def _add(used: Iterable[tuple[float, Parent]], start: int, stop: int, out: Floats) -> None:
    import numpy as np

    scratch = np.empty_like(out)
    out.fill(0)
    for factor, parent in used:
        np.multiply(parent.part(start, stop), factor, out=scratch)
        np.add(out, scratch, out=out)
