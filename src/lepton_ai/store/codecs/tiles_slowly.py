"""Decoding tiles without the compiled kernel: the same steps as tiles.c, over numpy arrays.

The states of the entropy coder are decoded side by side, 32 numbers at a time: some megabytes a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes
from lepton_ai.store.codecs.tiles_head import (
    ANCHOR,
    BINS,
    CLASSES,
    ESCAPE,
    ESCAPED,
    KINDS,
    LOWEST,
    OFFSET,
    PROPORTIONAL,
    SAME,
    SCALED,
    SCALES,
    SHIFTS,
    TILE,
    TOTAL,
    ZERO,
    Head,
    read_head,
)

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def decode(data: Bytes, base: Bytes | None, numbers: int, width: int, plain: bytearray | memoryview) -> None:
    """Fill ``plain`` with ``numbers`` numbers of ``width`` bytes.

    Raises:
        Damaged: ``data`` was not made by the kernel, or it needs (no) base.
    """
    import numpy as np

    head = read_head(data, width, based=base is not None, lanes=32 if numbers >= 8192 else 4)
    with np.errstate(over="ignore"):
        words = np.dtype(f"<u{width}")
        y = np.frombuffer(base, words, count=numbers) if base is not None else np.zeros(numbers, words)
        coder = _Coder(head)
        tiles = _tiles(
            coder,
            head,
            (numbers + TILE - 1) // TILE,
            8 * width - 1 if base is not None else head.mantissa - 2,
        )
        x = y.copy()
        _fill(coder, head, tiles, x, y, based=base is not None)
        coder.end()
    plain[: numbers * width] = x.tobytes()


class _Coder:
    """The interleaved states and the words that fill them."""

    def __init__(self, head: Head) -> None:
        import numpy as np

        self._states = np.frombuffer(head.states, "<u4").astype(np.uint64)
        self._words, self._at = np.frombuffer(head.words, "<u2").astype(np.uint64), 0
        self._turn = 0
        symbols, frequencies, offsets = [], [], []
        for table in head.tables:
            counts = np.array(table)
            symbol = np.repeat(np.arange(256), counts)
            symbols.append(symbol)
            frequencies.append(counts[symbol])
            offsets.append(np.arange(TOTAL) - np.repeat(np.cumsum(counts) - counts, counts))
        self._symbols = np.concatenate(symbols).astype(np.uint8)
        self._frequencies = np.concatenate(frequencies).astype(np.uint64)
        self._offsets = np.concatenate(offsets).astype(np.uint64)
        self._table_of = np.array(head.table_of, np.uint64) * np.uint64(TOTAL)

    def restart(self) -> None:
        """Begin with the first state again."""
        self._turn = 0

    def take(self, contexts: Array) -> Array:
        """The next tokens, one for each context."""
        import numpy as np

        lanes, starts = len(self._states), self._table_of[contexts]
        result = np.empty(len(contexts), np.uint8)
        at = 0
        while at < len(contexts):
            end = min(at + lanes - self._turn, len(contexts))
            mine = slice(self._turn, self._turn + end - at)
            result[at:end] = self._step(mine, starts[at:end])
            self._turn = (self._turn + end - at) % lanes
            at = end
        return result

    def _step(self, mine: slice, starts: Array) -> Array:
        import numpy as np

        x = self._states[mine]
        place = starts + (x & np.uint64(TOTAL - 1))
        x = self._frequencies[place] * (x >> np.uint64(12)) + self._offsets[place]
        less = x < LOWEST
        count = int(np.count_nonzero(less))
        if count:
            words = self._words[self._at : self._at + count]
            if len(words) < count:
                raise Damaged("the words of a payload of tiles are cut")
            x[less] = x[less] << np.uint64(16) | words
            self._at += count
        self._states[mine] = x
        symbols: Array = self._symbols[place]
        return symbols

    def end(self) -> None:
        """Everything must have been used up."""
        if self._at != len(self._words) or (self._states != LOWEST).any():
            raise Damaged("a payload of tiles is damaged")


class _Tiles(NamedTuple):
    """Kind, class and trailing zeros of every tile."""

    kind: Array
    scale: Array
    shift: Array


def _tiles(coder: _Coder, head: Head, count: int, most: int) -> _Tiles:
    import numpy as np

    kind = np.cumsum(coder.take(np.full(count, KINDS)), dtype=np.int64) % 3
    if not head.flags & 2 and (kind == PROPORTIONAL).any():
        raise Damaged("a payload of tiles has no proportions")
    scale, shift = np.zeros(count, np.int64), np.zeros(count, np.int64)
    tokens = coder.take(np.full(int((kind == SCALED).sum()), CLASSES)).astype(np.int64)
    classes = np.cumsum((tokens >> 1) ^ -(tokens & 1))
    shift[kind != SAME] = coder.take(np.full(int((kind != SAME).sum()), SHIFTS))
    wrong = len(classes) > 0 and not 0 <= classes.min() <= classes.max() <= 127
    if wrong or shift.max() > most or shift[kind == PROPORTIONAL].any():
        raise Damaged("the tiles of a payload are damaged")
    scale[kind == SCALED] = classes
    return _Tiles(kind, scale, shift)


def _fill(coder: _Coder, head: Head, tiles: _Tiles, x: Array, y: Array, *, based: bool) -> None:
    """Decode the numbers of all tiles that changed, in order, and put them into ``x``."""
    import numpy as np

    kinds = np.repeat(tiles.kind, TILE)[: len(x)]
    places = np.flatnonzero(kinds != SAME)
    kinds = kinds[places]
    of = places // TILE
    base, shift = y[places], tiles.shift[of].astype(y.dtype)
    scale = head.origin + tiles.scale[of]
    if based:
        high = _high(base, head)
        contexts = np.clip(scale - high + OFFSET, 0, SCALES - 1)
        if head.flags & 2:
            bins = (base >> y.dtype.type(head.mantissa - 4)).astype(np.int64) & (BINS - 1)
            contexts = np.where(kinds == PROPORTIONAL, SCALES + bins, contexts)
    else:
        contexts = tiles.scale[of]
    coder.restart()
    tokens = coder.take(contexts)
    raw = _Raw(head.raw)
    if not based:
        x[places] = _numbers(tokens, raw, scale, shift, head, y.dtype)
        return
    proportional = kinds == PROPORTIONAL
    wide = np.dtype(
        np.uint64 if y.dtype.itemsize == 8 else np.uint32
    )  # an expectation may miss by more than y holds
    z, one = raw.values(tokens, proportional, wide), wide.type(1)
    moved = (((z >> one) ^ (wide.type(0) - (z & one))) << shift.astype(wide)).astype(y.dtype)
    if head.flags & 2:
        moved = moved + np.where(proportional, _expected(base, head), y.dtype.type(0))
    x[places] = base + moved


def _high(base: Array, head: Head) -> Array:
    import numpy as np

    if not head.exponent:
        return np.full(len(base), 254)
    magnitude = base & base.dtype.type((1 << (8 * base.dtype.itemsize - 1)) - 1)
    high: Array = (magnitude >> base.dtype.type(head.mantissa - 1)).astype(np.int64) + 2 * head.bias
    return high


def _expected(base: Array, head: Head) -> Array:
    import numpy as np

    low = head.mantissa - 4
    cut = max(0, low - 16)
    part = ((base & base.dtype.type((1 << low) - 1)) >> base.dtype.type(cut)).astype(np.int64)
    bins = (base >> base.dtype.type(low)).astype(np.int64) & (BINS - 1)
    moved = np.array(head.model[:BINS])[bins] + (head.model[BINS] * part >> (low - cut))
    result: Array = moved.astype(base.dtype)
    return result


class _Raw:
    """The raw bits, read for many numbers at once."""

    def __init__(self, data: bytes) -> None:
        import numpy as np

        self._bits, self._size = np.frombuffer(data + bytes(16), np.uint8), 8 * len(data)

    def read(self, counts: Array) -> Array:
        """A value of so many bits for each of ``counts`` (up to 64), one behind the other."""
        import numpy as np

        ends = np.cumsum(counts.astype(np.int64))
        if len(ends) and int(ends[-1]) > self._size:
            raise Damaged("the raw bits of a payload of tiles are cut")
        starts = ends - counts
        byte, bit = starts >> 3, (starts & 7).astype(np.uint64)
        low = np.zeros(len(counts), np.uint64)
        for k in range(8):
            low |= self._bits[byte + k].astype(np.uint64) << np.uint64(8 * k)
        high = self._bits[byte + 8].astype(np.uint64)
        joined = low >> bit | np.where(
            bit > 0, high << (np.uint64(64) - np.maximum(bit, np.uint64(1))), np.uint64(0)
        )
        width = counts.astype(np.uint64)
        mask = np.where(
            width > 0, ~np.uint64(0) >> (np.uint64(64) - np.maximum(width, np.uint64(1))), np.uint64(0)
        )
        return joined & mask

    def values(self, tokens: Array, proportional: Array, dtype: np.dtype[Any]) -> Array:
        """What the tokens stand for, with their raw bits."""
        import numpy as np

        bases, sizes = np.array(
            [_token(t, *how) for how in ((3, 2), (6, 1)) for t in range(256)], np.uint64
        ).T
        at = tokens.astype(np.int64) + 256 * proportional
        values: Array = bases[at] + self.read(sizes[at].astype(np.int64))
        return values.astype(dtype)


def _token(token: int, split: int, kept: int) -> tuple[int, int]:
    """The least value that a token stands for, and its raw bits."""
    if token < 1 << split:
        return token, 0
    rest = token - (1 << split)
    top = split + (rest >> kept)
    if top > 63:
        return 0, 0
    return ((1 << kept) + (rest & ((1 << kept) - 1))) << (top - kept), top - kept


def _numbers(tokens: Array, raw: _Raw, scale: Array, shift: Array, head: Head, dtype: np.dtype[Any]) -> Array:
    """Numbers that are coded without a base: exponent and two bits of the mantissa, then the rest."""
    import numpy as np

    low = head.mantissa - 2
    zero, escaped = tokens == ZERO, tokens == ESCAPE
    counts = np.stack(
        [np.where(escaped, ESCAPED, 0), np.where(zero, 0, 1 + low - shift.astype(np.int64))], axis=1
    )
    values = raw.read(counts.reshape(-1)).reshape(-1, 2)
    q = np.where(
        escaped, values[:, 0].astype(np.int64), tokens.astype(np.int64) - ANCHOR + 2 * scale - 4 * head.bias
    )
    rest = values[:, 1].astype(dtype)
    one, sign = dtype.type(1), dtype.type(8 * dtype.itemsize - 1)
    result: Array = q.astype(dtype) << dtype.type(low) | rest >> one << shift | (rest & one) << sign
    result[zero] = 0
    return result
