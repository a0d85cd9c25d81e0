"""Walking over a tensor: in tiles that stay in the cache, and in passes that both cores share.

Both cut at fixed places, never where a caller's part begins, so that what is measured is the same on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lepton_ai.store.pipeline import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lepton_ai.history.merges.contract import Case, Floats, Part

R = TypeVar("R")

TILE = 1 << 17
"""Elements that one step of a formula works on: few steps, and what they work on is still in the cache (measured)."""

STRETCH = 1 << 20
"""Elements that one thread measures before it takes the next ones."""


def tiles(start: int, stop: int, step: int = TILE) -> Iterator[tuple[int, int]]:
    """``start … stop`` in pieces that end at multiples of ``step``."""
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield start, end
        start = end


def by_tiles(case: Case, formula: Callable[[int, int, Any], None]) -> Part:
    """The Part that a formula of single elements gives: ``formula(start, stop, out)`` fills ``out``."""

    def part(start: int, stop: int) -> Floats:
        import numpy as np

        result = np.empty(stop - start, kind(case))
        with np.errstate(all="ignore"):  # NaN and infinity of parents are no news
            for begin, end in tiles(start, stop):
                formula(begin, end, result[begin - start : end - start])
        return result

    return part


def measured(size: int, work: Callable[[int, int], R]) -> list[R]:
    """``work(start, stop)`` on every stretch of ``size`` elements, the results in order; the cores share it."""
    return shared(list(tiles(0, size, STRETCH)), work)


def shared(spans: Sequence[tuple[int, int]], work: Callable[[int, int], R]) -> list[R]:
    """``work(start, stop)`` on every span, the results in order; the cores share it."""
    import numpy as np

    def quiet(span: tuple[int, int]) -> R:
        with np.errstate(all="ignore"):
            return work(*span)

    if len(spans) < 2:
        return [quiet(span) for span in spans]
    with Pool() as pool:
        return list(pool.map(quiet, spans))


def kind(case: Case) -> Any:
    """The numpy type that the case is computed in."""
    import numpy as np

    return np.dtype(np.float64 if case.wide else np.float32)


def bits(elements: Floats) -> Any:
    """The same memory as unsigned integers: equal bits are equal elements, NaN and zeros of either sign too."""
    return elements.view(f"u{elements.itemsize}")
