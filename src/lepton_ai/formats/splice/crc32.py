"""CRC-32 of bytes of which a part has changed: only that part is read, before and after.

The checksum is linear: what it changes by is that of the difference, moved on by the bytes that follow.

Source: Mark Adler, crc32_combine of zlib, https://github.com/madler/zlib/blob/develop/crc32.c
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache

from lepton_ai.formats.contract import Source
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.edited import Edited

POLYNOMIAL = 0xEDB88320
PIECE = 1 << 20


def crc32(source: Source, start: int = 0, length: int | None = None, crc: int = 0) -> int:
    """The checksum of ``length`` bytes from ``start`` on (all there are), which follow what ``crc`` is that of."""
    end = source.size if length is None else start + length
    for at in range(start, end, PIECE):
        crc = zlib.crc32(source.read(at, min(PIECE, end - at)), crc)
    return crc


def edited_crc32(crc: int, base: Source, edits: Sequence[Edit]) -> int:
    """That of ``base`` after ``edits``, when it is ``crc`` before.

    Edits that keep their length are read in both forms, what is put on at the end is read alone; other edits have all
    of the result read.
    """
    inside = [edit for edit in edits if edit.length]
    behind = [edit for edit in edits if not edit.length]
    if any(edit.length != edit.new.size for edit in inside) or any(e.offset != base.size for e in behind):
        return crc32(Edited(base, edits))
    for edit in inside:
        differs = crc32(base, edit.offset, edit.length) ^ crc32(edit.new)
        crc ^= _behind(differs, base.size - edit.offset - edit.length)
    for edit in behind:
        crc = crc32(edit.new, crc=crc)
    return crc


def _behind(crc: int, count: int) -> int:
    """What a difference of ``crc`` makes of the checksum when ``count`` bytes follow."""
    return product(power(8 * count, POLYNOMIAL), crc, POLYNOMIAL)


def power(exponent: int, polynomial: int) -> int:
    """x to the ``exponent``, modulo a polynomial; the highest bit is the lowest power."""
    result, place = 1 << 31, 0
    while exponent >> place:
        if exponent >> place & 1:
            result = product(_doubled(place, polynomial), result, polynomial)
        place += 1
    return result


@cache
def _doubled(place: int, polynomial: int) -> int:
    """x to the 2^``place``."""
    result = 1 << 30
    for _ in range(place):
        result = product(result, result, polynomial)
    return result


def product(one: int, two: int, polynomial: int) -> int:
    """Both multiplied, modulo the polynomial."""
    result, bit = 0, 1 << 31
    while one:
        if one & bit:
            result ^= two
            one ^= bit
        bit >>= 1
        two = two >> 1 ^ (polynomial if two & 1 else 0)
    return result
