"""Statistics of elements and of their differences in one pass: a part at a time, and parts put together.

Sums run in float64; mean and variance of parts are joined without cancellation.
Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", Stanford STAN-CS-79-773 (1979).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_ai.history.diff.contract import Histogram, Numbers

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

BINS = 4096
"""A sign and eleven bits of exponent: how a float64 begins."""
_BIAS = 1023
PLENTY = 1e-3
"""Share of the sum of squares above which the deviations' may be its difference to the mean's: 12 digits are left."""
SHOWN = 20
"""Bins that a histogram keeps, counted from the largest difference downwards."""


class Own(NamedTuple):
    """One side's elements: of ``n`` finite ones the mean, the sum of squared deviations, least and greatest."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    nan: int = 0
    inf: int = 0

    @property
    def norm2(self) -> float:
        """The sum of the squares of the finite elements."""
        return self.squares + self.n * self.mean * self.mean

    @property
    def std(self) -> float:
        """Standard deviation (of the population); NaN when there are no elements."""
        return math.sqrt(self.squares / self.n) if self.n else math.nan

    def joined(self, other: Own) -> Own:
        """Both sets of elements together."""
        n = self.n + other.n
        if not n:
            return self._replace(nan=self.nan + other.nan, inf=self.inf + other.inf)
        gap, share = other.mean - self.mean, other.n / n
        return Own(
            n,
            self.mean + gap * share,
            self.squares + other.squares + gap * gap * self.n * share,
            min(self.low, other.low),
            max(self.high, other.high),
            self.nan + other.nan,
            self.inf + other.inf,
        )

    def numbers(self) -> Numbers:
        """As people are told."""
        if not self.n:
            return Numbers(None, None, None, None, self.nan, self.inf)
        return Numbers(self.mean, self.std, self.low, self.high, self.nan, self.inf)


class Moved(NamedTuple):
    """What lies between two arrays: elements, how many changed, and of the finite pairs sums of squares and extremes.

    ``bins`` counts the differences by sign and power of two.
    """

    before: Own
    after: Own
    elements: int = 0
    changed: int = 0
    before2: float = 0.0
    after2: float = 0.0
    dot: float = 0.0
    delta2: float = 0.0
    most: float = 0.0
    pairs: int = 0
    bins: Array | None = None

    def joined(self, other: Moved) -> Moved:
        """Both sets of elements together."""
        bins = (
            self.bins if other.bins is None else other.bins if self.bins is None else self.bins + other.bins
        )
        return Moved(
            self.before.joined(other.before),
            self.after.joined(other.after),
            self.elements + other.elements,
            self.changed + other.changed,
            self.before2 + other.before2,
            self.after2 + other.after2,
            self.dot + other.dot,
            self.delta2 + other.delta2,
            max(self.most, other.most),
            self.pairs + other.pairs,
            bins,
        )

    @property
    def relative(self) -> float | None:
        """‖Δ‖/‖before‖; infinite for what was all zero; None when nothing is finite in both."""
        if not self.pairs or not math.isfinite(self.delta2 + self.before2):
            return None
        if not self.before2:
            return math.inf if self.delta2 else 0.0
        return math.sqrt(self.delta2) / math.sqrt(self.before2)

    @property
    def cosine(self) -> float | None:
        """⟨before, after⟩/(‖before‖·‖after‖); None when one of them is zero."""
        scale = math.sqrt(self.before2) * math.sqrt(self.after2)
        if not scale or not math.isfinite(scale + self.dot):
            return None
        return max(-1.0, min(1.0, self.dot / scale))


NOTHING = Moved(Own(), Own())


def values(array: Array) -> Array:
    """The elements as float64 or complex128: every type of ours exactly, but for integers beyond 2⁵³."""
    import numpy as np

    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    return array.astype(np.float32).astype(np.float64)  # bfloat16, float8, int4 …


def own(wide: Array) -> Own:
    """The statistics of float64 or complex128 elements; of these the modulus counts."""
    import numpy as np

    if wide.dtype.kind == "c":
        wide = np.abs(wide)
    count, total = wide.size, float(wide.sum())
    nan = inf = 0
    if not math.isfinite(total):  # nothing that is not finite vanishes in a sum
        finite = np.isfinite(wide)
        nan = int(np.count_nonzero(np.isnan(wide)))
        wide = wide[finite]
        inf, count = count - nan - wide.size, wide.size
        total = float(wide.sum())
    if not count:
        return Own(nan=nan, inf=inf)
    mean = total / count
    norm2 = _squares(wide)
    squares = norm2 - count * mean * mean
    if not squares > PLENTY * norm2:  # nearly all of it cancelled
        rest = wide - mean
        squares = _squares(rest)
    return Own(count, mean, squares, float(wide.min()), float(wide.max()), nan, inf)


def moved(before: Array, after: Array, changed: int) -> Moved:
    """What lies between float64 or complex128 elements, of which ``changed`` differ."""
    import numpy as np

    first, second, count = own(before), own(after), before.size
    before2, after2 = first.norm2, second.norm2
    if first.n < count or second.n < count:
        both = np.isfinite(before) & np.isfinite(after)
        before, after = before[both], after[both]
        before2, after2 = own(before).norm2, own(after).norm2
    if not changed or not before.size:
        return Moved(first, second, count, changed, before2, after2, before2, pairs=before.size)
    delta, dot = after - before, _dot(before, after)
    if delta.dtype.kind == "c":
        delta = np.abs(delta)
    most = max(float(delta.max()), -float(delta.min()))
    squares = _squares(delta)
    begins = delta.view(np.uint16)[3::4] >> 4  # the highest bytes of a little-endian float64
    bins = np.bincount(begins, minlength=BINS)
    return Moved(first, second, count, changed, before2, after2, dot, squares, most, before.size, bins)


def _squares(wide: Array) -> float:
    return _dot(wide, wide)


def _dot(one: Array, other: Array) -> float:
    """The dot product, of complex numbers its real part. Not by BLAS: it starts threads of its own, ours are enough."""
    import numpy as np

    if one.dtype.kind == "c" or other.dtype.kind == "c":
        return float(np.einsum("i,i->", one.conj(), other).real)
    return float(np.einsum("i,i->", one, other))


def differing(before: Array, after: Array) -> int:
    """How many elements are not the same bits, or of different types, not the same value."""
    import numpy as np

    if before.dtype == after.dtype:
        width = before.dtype.itemsize
        if width <= 8:
            kind = np.dtype(f"u{width}")
            return int(np.count_nonzero(before.view(kind) != after.view(kind)))
        halves = before.view(np.uint64) != after.view(np.uint64)
        return int(np.count_nonzero(halves.reshape(-1, width // 8).any(axis=1)))
    one, other = values(before), values(after)
    return int(np.count_nonzero((one != other) & ~(np.isnan(one) & np.isnan(other))))


def histogram(bins: Array | None) -> Histogram | None:
    """The bins that people are shown: of the powers of two up to the largest difference."""
    import numpy as np

    if bins is None:
        return None
    signs = bins.reshape(2, BINS // 2).copy()
    signs[:, 0] = 0  # no difference, or one that float64 itself can hardly tell from none
    signs[:, -1] = 0  # one that is too large for any number
    there = np.flatnonzero(signs.sum(axis=0))
    if not there.size:
        return None
    last = int(there[-1])
    first = max(int(there[0]), last - SHOWN + 1)
    edges = tuple(math.ldexp(1.0, min(power - _BIAS, _BIAS)) for power in range(first, last + 2))
    shown = signs[:, first : last + 1].copy()
    shown[:, 0] = signs[:, : first + 1].sum(axis=1)
    return Histogram(edges, tuple(map(int, shown[1])), tuple(map(int, shown[0])))
