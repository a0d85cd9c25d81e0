"""The parts of a payload of tiles: its head, and the tables of frequencies in it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes

HEAD = 20
TILE = 128
TOTAL = 4096
SCALES, BINS = 128, 16
KINDS = SCALES + BINS
CLASSES, SHIFTS, CONTEXTS = KINDS + 1, KINDS + 2, KINDS + 3
TABLES = 16
LOWEST = 1 << 15
ZERO, ESCAPE, ESCAPED, ANCHOR, OFFSET = 254, 255, 13, 192, 16
SAME, SCALED, PROPORTIONAL = 0, 1, 2


class Head(NamedTuple):
    """The parts of a payload."""

    flags: int
    mantissa: int
    exponent: int
    origin: int
    lanes: int
    model: tuple[int, ...]
    raw: bytes
    tables: list[list[int]]
    table_of: list[int]
    states: bytes
    words: bytes

    @property
    def bias(self) -> int:
        """What makes an exponent float32's."""
        return 127 - ((1 << (self.exponent - 1)) - 1) if self.exponent else 0


def read_head(data: Bytes, width: int, *, based: bool, lanes: int) -> Head:
    """Take a payload apart.

    Raises:
        Damaged: its parts do not fit together.
    """
    view = memoryview(data)
    if len(view) < HEAD:
        raise Damaged("a payload of tiles is cut")
    flags, count, mantissa, exponent, origin, zero, raw, table, words = struct.unpack_from("<BBBBhHIII", view)
    at = HEAD + (4 * (BINS + 1) if flags & 2 else 0)
    fits = at + raw + table + 4 * lanes + 2 * words == len(view)
    is_float = mantissa >= 2 and 2 <= exponent <= 11 and 1 + mantissa + exponent == 8 * width
    if (
        flags > 3 or zero or bool(flags & 1) != based or not 1 <= count <= TABLES or not fits
        or not (is_float or (based and not mantissa and not exponent and width in {1, 2, 4, 8}))
        or (flags & 2 and (not based or mantissa < 7))
    ):  # fmt: skip
        raise Damaged("the head of a payload of tiles is damaged")
    model = struct.unpack_from(f"<{BINS + 1}i", view, HEAD) if flags & 2 else (0,) * (BINS + 1)
    tables, table_of = _tables(bytes(view[at + raw : at + raw + table]), count)
    end = at + raw + table + 4 * lanes
    return Head(
        flags, mantissa, exponent, origin, lanes, model, bytes(view[at : at + raw]), tables, table_of,
        bytes(view[at + raw + table : end]), bytes(view[end:]),
    )  # fmt: skip


class _Bits:
    """Bits of a short byte string, lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise Damaged("the tables of a payload of tiles are cut")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def _tables(data: bytes, count: int) -> tuple[list[list[int]], list[int]]:
    bits, table_of, table = _Bits(data), [], 0
    for _ in range(CONTEXTS):
        table += bits.take(1)
        table_of.append(table)
    if table != count - 1:
        raise Damaged("the contexts of a payload of tiles are damaged")
    return [_table(bits) for _ in range(count)], table_of


def _table(bits: _Bits) -> list[int]:
    """The frequencies of the symbols; they add up to TOTAL."""
    last, best, size, left = bits.take(8), bits.take(8), 0, TOTAL
    frequencies = [0] * 256
    for symbol in range(last + 1):
        if symbol == best:
            continue
        unary = 0
        while not bits.take(1):
            unary += 1
        size += (unary + 1) // 2 if unary & 1 else -(unary // 2)
        if not 0 <= size <= 12 or best > last:
            raise Damaged("a table of a payload of tiles is damaged")
        if size:
            low = bits.take(4) << (size - 5) if size > 5 else bits.take(size - 1)
            frequencies[symbol] = (1 << (size - 1)) | low
            left -= frequencies[symbol]
    if left < 1 or best > last:
        raise Damaged("a table of a payload of tiles is damaged")
    frequencies[best] = left
    return frequencies
