"""Statistics of elements and of their differences in one pass: a part at a time, and parts put together.

Sums run in float64; mean and variance of parts are joined without cancellation. What is kept are means of squares
under their root, not sums of squares, which huge float64 would overflow and tiny ones vanish in.
Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", Stanford STAN-CS-79-773 (1979).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_ai.history.diff import integers
from lepton_ai.history.diff.contract import Histogram, Numbers

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

BINS = 4096
"""A sign and eleven bits of exponent: how a float64 begins."""
_BIAS = 1023
PLENTY = 1e-3
"""Share of the sum of squares above which the deviations' may be its difference to the mean's: 12 digits are left."""
SAFE = 1e-280
"""The least sum of squares in which nothing that counts has vanished."""
SHOWN = 20
"""Bins that a histogram keeps, counted from the largest difference downwards."""


class Own(NamedTuple):
    """One side's elements: of ``n`` finite ones mean, standard deviation (of the population), least and greatest."""

    n: int = 0
    mean: float = 0.0
    std: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    nan: int = 0
    inf: int = 0

    @property
    def rms(self) -> float:
        """The root of the mean of the squares of the finite elements."""
        return math.hypot(self.std, self.mean)

    @property
    def norm(self) -> float:
        """The L2 norm of the finite elements."""
        return self.rms * math.sqrt(self.n)

    def joined(self, other: Own) -> Own:
        """Both sets of elements together."""
        n = self.n + other.n
        if not n:
            return self._replace(nan=self.nan + other.nan, inf=self.inf + other.inf)
        gap, share, rest = other.mean - self.mean, other.n / n, self.n / n
        apart = 2 * (
            (other.mean / 2 - self.mean / 2) * math.sqrt(rest * share)
        )  # where the gap is no number, too
        return Own(
            n,
            self.mean + gap * share if math.isfinite(gap) else self.mean * rest + other.mean * share,
            math.hypot(self.std * math.sqrt(rest), other.std * math.sqrt(share), apart),
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
    """What lies between two arrays: elements, how many changed, and of the ``pairs`` that are finite in both the roots
    of the means of squares, the cosine (0 where a side is zero) and the largest difference.

    ``bins`` counts the differences by sign and power of two.
    """

    before: Own
    after: Own
    elements: int = 0
    changed: int = 0
    pairs: int = 0
    rms_before: float = 0.0
    rms_after: float = 0.0
    rms_delta: float = 0.0
    angle: float = 0.0
    most: float = 0.0
    bins: Array | None = None

    def joined(self, other: Moved) -> Moved:
        """Both sets of elements together."""
        bins = (
            self.bins if other.bins is None else other.bins if self.bins is None else self.bins + other.bins
        )
        pairs = self.pairs + other.pairs
        weights = [(one, math.sqrt(one.pairs / pairs)) for one in (self, other)] if pairs else []
        before, after, delta = (
            math.hypot(*(getattr(one, name) * weight for one, weight in weights))
            for name in ("rms_before", "rms_after", "rms_delta")
        )
        angle = 0.0
        if before and after:
            angle = sum(
                one.angle * (one.rms_before * weight / before) * (one.rms_after * weight / after)
                for one, weight in weights
            )
        return Moved(
            self.before.joined(other.before),
            self.after.joined(other.after),
            self.elements + other.elements,
            self.changed + other.changed,
            pairs,
            before,
            after,
            delta,
            angle,
            max(self.most, other.most),
            bins,
        )

    @property
    def l2(self) -> float | None:
        """‖Δ‖; None when nothing is finite in both."""
        return self.rms_delta * math.sqrt(self.pairs) if self.pairs else None

    @property
    def relative(self) -> float | None:
        """‖Δ‖/‖before‖; infinite for what was all zero; None when nothing is finite in both."""
        if not self.pairs or not math.isfinite(self.rms_delta):
            return None
        if not self.rms_before:
            return math.inf if self.rms_delta else 0.0
        return self.rms_delta / self.rms_before

    @property
    def cosine(self) -> float | None:
        """⟨before, after⟩/(‖before‖·‖after‖); None when one of them is zero."""
        if not self.rms_before or not self.rms_after:
            return None
        return max(-1.0, min(1.0, self.angle))


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
    mean = total / count if math.isfinite(total) else float((wide / count).sum())
    norm2 = _dot(wide, wide)
    squares = norm2 - count * mean * mean
    if SAFE < norm2 < math.inf and squares > PLENTY * norm2:
        std = math.sqrt(squares / count)
    else:  # nearly all of it cancelled, or it is too large, or too small
        std = _rms_between(mean, wide)
    return Own(count, mean, std, float(wide.min()), float(wide.max()), nan, inf)


def moved(before: Array, after: Array, changed: int, delta: Array | None = None) -> Moved:
    """What lies between float64 or complex128 elements, of which ``changed`` differ; ``delta`` if these are rounded."""
    import numpy as np

    first, second, count = own(before), own(after), before.size
    one, other = first.rms, second.rms
    if first.n < count or second.n < count:
        both = np.isfinite(before) & np.isfinite(after)
        before, after = before[both], after[both]
        one, other = own(before).rms, own(after).rms
    if not changed or not before.size:
        angle = 1.0 if one and other else 0.0
        return Moved(first, second, count, changed, before.size, one, other, angle=angle)
    angle = _cosine(before, one, after, other) if one and other else 0.0
    delta = after - before if delta is None else delta
    if delta.dtype.kind == "c":
        delta = np.abs(delta)
    most = max(float(delta.max()), -float(delta.min()))
    far = _rms(delta) if math.isfinite(most) else _rms_between(before, after)
    begins = delta.view(np.uint16)[3::4] >> 4  # the highest bytes of a little-endian float64
    bins = np.bincount(begins, minlength=BINS)
    return Moved(first, second, count, changed, before.size, one, other, far, angle, most, bins)


def _rms(wide: Array) -> float:
    """The root of the mean of the squares, of numbers of any size."""
    squares = _dot(wide, wide)
    if SAFE < squares < math.inf:
        return math.sqrt(squares / wide.size)
    largest = float(abs(wide).max())
    if not largest:
        return 0.0
    scaled, power = _scaled(wide, largest), math.frexp(largest)[1]
    return math.ldexp(math.sqrt(_dot(scaled, scaled) / wide.size), power)


def _rms_between(one: float | Array, other: Array) -> float:
    """That of ``other - one``, even where a difference is larger than any number."""
    rest = other - one
    rms = _rms(rest) if math.isfinite(abs(rest).max()) else math.inf
    return rms if math.isfinite(rms) else 2 * _rms(other / 2 - one / 2)


def _cosine(before: Array, one: float, after: Array, other: float) -> float:
    """The cosine between arrays that are not zero, with their root mean squares."""
    product = before.size * one * other
    if SAFE < product < math.inf:
        dot = _dot(before, after)
        if math.isfinite(dot):
            return dot / product
    product = before.size * math.frexp(one)[0] * math.frexp(other)[0]
    return _dot(_scaled(before, one), _scaled(after, other)) / product


def _scaled(wide: Array, size: float) -> Array:
    """The elements times the power of two that makes ``size`` lie between ½ and 1."""
    power = -math.frexp(size)[1]
    return wide * 2.0 ** (power // 2) * 2.0 ** (power - power // 2)


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
    exact = integers.unlike(before, after, (one, other))
    if exact is not None:
        return int(np.count_nonzero(exact))
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
