"""The k elements of largest size, exactly, without sorting the tensor or holding it in memory.

The bits of a positive float, read as an unsigned number, order as the floats do (NaN above infinity). A sample says
between which two numbers the k-th largest should lie, and what it may be exactly; one pass counts what is above and
collects what is between. When the guess was wrong, or too many lie between, the bits are narrowed by histograms
(radix selection), 12 bits a pass. Of equal elements those that stand first are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lepton_ai.history.merges.passes import STRETCH, bits, measured, tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from lepton_ai.history.merges.contract import Floats

    Sizes = Callable[[int, int], Any]
    """The sizes of the elements ``start … stop`` as unsigned numbers that order as they do."""

SAMPLE = 1 << 14
RUN = 1 << 8
"""Elements of a sample that stand together: reading single ones would cost as much as reading all."""

MOST = 1 << 22
"""Numbers that are collected at most."""

_RADIX = 12


class Largest(msgspec.Struct, frozen=True):
    """The chosen elements: of size above ``floor``, and those of size ``floor`` that stand before ``cut``."""

    floor: int
    cut: int

    def chosen(self, sizes: Any, start: int) -> Any:
        """For each of the ``sizes`` from position ``start`` on, whether it is chosen."""
        import numpy as np

        if self.cut <= start:
            return np.greater(sizes, self.floor)
        result = np.greater_equal(sizes, self.floor)
        if self.cut < start + len(sizes):
            np.greater(sizes[self.cut - start :], self.floor, out=result[self.cut - start :])
        return result


def size_bits(elements: Floats) -> Any:
    """Elements without their sign, as unsigned numbers that order as they do."""
    import numpy as np

    return bits(np.abs(elements))


def largest(sizes: Sizes, count: int, k: int) -> Largest:
    """The ``k`` largest of ``count`` elements, 1 ≤ k ≤ count."""
    if k >= count:
        return Largest(0, count)
    import numpy as np

    with np.errstate(all="ignore"):  # as in passes: the sizes are computed
        search = _Search(sizes, count, k)
        floor = search.run()
        wanted = k - search.above
        return Largest(floor, count if wanted == search.equal else _cut(sizes, count, floor, wanted))


def _cut(sizes: Sizes, count: int, floor: int, wanted: int) -> int:
    """The position before which there are ``wanted`` elements of size ``floor``; there is another one behind."""
    import numpy as np

    def work(start: int, stop: int) -> int:
        return sum(int(np.count_nonzero(sizes(begin, end) == floor)) for begin, end in tiles(start, stop))

    for stretch, equal in enumerate(measured(count, work)):
        if wanted < equal:
            start = stretch * STRETCH
            places = np.flatnonzero(sizes(start, min(count, start + STRETCH)) == floor)
            return start + int(places[wanted])
        wanted -= equal
    raise AssertionError("fewer elements than were counted")


class _Counted(NamedTuple):
    """Of a stretch: how many reach each of four bounds, and what lies between; None when that is too much."""

    counts: tuple[int, ...]
    between: list[Any] | None


class _Search:
    """Narrows [low, high) until it holds one number.

    ``above`` elements are at least ``high``; at the end they are above the number that was found, and ``equal`` are it.
    """

    def __init__(self, sizes: Sizes, count: int, k: int) -> None:
        self._sizes, self._count, self._k = sizes, count, k
        width = sizes(0, 1).itemsize * 8
        self._low, self._high = 0, 1 << (width - 1)
        self.above, self.equal = 0, count

    def run(self) -> int:
        floor = self._by_sample()
        while floor is None and self._high - self._low > 1:
            self._by_histogram()
        return self._low if floor is None else floor

    def _by_sample(self) -> int | None:
        """The k-th largest, when the sample led to it; else what is known now."""
        import numpy as np

        step = max(RUN, -(-self._count // (SAMPLE // RUN)))
        runs = [self._sizes(at, min(self._count, at + RUN)) for at in range(0, self._count, step)]
        sample = np.sort(np.concatenate(runs))[::-1]
        at = self._k / self._count * len(sample)
        slack = (
            4 * len(sample) ** 0.5 + 2
        )  # runs are less telling than single elements: wider than theory asks for
        last = len(sample) - 1
        guess = int(sample[min(last, int(at))])
        high = int(sample[int(at - slack)]) + 1 if at > slack else self._high
        low = int(sample[int(at + slack)]) if at + slack < last else 0
        return self._among(low, guess, min(high, self._high))

    def _among(self, low: int, guess: int, high: int) -> int | None:
        """One pass: count what is above, and collect what is between."""
        found = measured(self._count, lambda start, stop: self._counted(low, guess, high, (start, stop)))
        over, more, least, all_in = (sum(part.counts[i] for part in found) for i in range(4))
        if more < self._k <= least:
            self.above, self.equal = more, least - more
            return guess
        if over < self._k <= more:
            bounds, above, inside = (guess + 1, high), over, more - over
        elif least < self._k <= all_in:
            bounds, above, inside = (low, guess), least, all_in - least
        elif self._k <= over:
            bounds, above, inside = (high, self._high), 0, over
        else:
            bounds, above, inside = (0, low), all_in, self._count - all_in
        self._low, self._high, self.above, self.equal = *bounds, above, inside
        if not low <= bounds[0] < high or any(part.between is None for part in found):
            return None
        return self._from([piece for part in found for piece in part.between or ()])

    def _counted(self, low: int, guess: int, high: int, stretch: tuple[int, int]) -> _Counted:
        import numpy as np

        room = MOST // max(1, -(-self._count // STRETCH))
        counts, held, between = [0, 0, 0, 0], 0, []
        for begin, end in tiles(*stretch):
            some = self._sizes(begin, end)
            at_least = some >= low
            beyond = some >= high
            tally = (beyond, some > guess, some >= guess, at_least)
            counts = [total + int(np.count_nonzero(one)) for total, one in zip(counts, tally, strict=True)]
            at_least ^= beyond
            at_least &= some != guess
            inside = some[at_least]
            held += len(inside)
            if held <= room:
                between.append(inside)
        return _Counted(tuple(counts), between if held <= room else None)

    def _from(self, pieces: list[Any]) -> int:
        """The k-th largest, which is one of the collected ones."""
        import numpy as np

        between = np.concatenate(pieces)
        between = between[(between >= self._low) & (between < self._high)]
        place = len(between) - (self._k - self.above)
        floor = int(np.partition(between, place)[place])
        self.above += int(np.count_nonzero(between > floor))
        self.equal = int(np.count_nonzero(between == floor))
        return floor

    def _by_histogram(self) -> None:
        """Of 4096 parts of [low, high), go on with that which holds the k-th largest."""
        import numpy as np

        low, high = self._low, self._high
        shift = max(0, (high - 1 - low).bit_length() - _RADIX)

        def work(start: int, stop: int) -> Any:
            counts = np.zeros(1 << _RADIX, np.int64)
            for begin, end in tiles(start, stop):
                some = self._sizes(begin, end)
                inside = some[np.logical_and(some >= low, some < high)] - some.dtype.type(low)
                counts += np.bincount(
                    (inside >> some.dtype.type(shift)).astype(np.intp), minlength=1 << _RADIX
                )
            return counts

        counts = sum(measured(self._count, work))
        reached = self.above + np.cumsum(counts[::-1])
        part = len(counts) - 1 - int(np.searchsorted(reached, self._k))
        self.equal = int(counts[part])
        self.above = int(reached[len(counts) - 1 - part]) - self.equal
        self._low, self._high = low + (part << shift), min(high, low + ((part + 1) << shift))
