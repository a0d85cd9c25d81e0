"""CRC-32C (Castagnoli) with numpy: a row of words at a time, folded onto the next one by four tables.

A word that is followed by n others counts as itself times x^(32·(n+1)); a whole row moves on by one row at once. At the
end the row is folded in half until one word is left. About 0.3 GB/s; no compiled package is needed for it.

Source: RFC 3720, B.4; masks: https://github.com/google/leveldb/blob/main/util/crc32c.h
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import BytesSource, Source
from lepton_ai.formats.splice.crc32 import power, product

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

POLYNOMIAL = 0x82F63B78
WORDS = 8192
ROW = 4 * WORDS
ROWS = 128
"""Rows that are read together."""


def crc32c(source: Source) -> int:
    """The checksum of all bytes."""
    import numpy as np

    size = source.size
    if size < 4:
        return _bytewise(source.read(0, size))
    first = size % ROW or ROW
    head = np.zeros(
        ROW, np.uint8
    )  # zeros in front change nothing, once the start value stands in the first bytes
    head[ROW - first :] = np.frombuffer(source.read(0, first), np.uint8)
    head[ROW - first : ROW - first + min(4, first)] ^= 0xFF
    if first < 4:
        row, at = _carried(head, source, first), first + ROW
    else:
        row, at = head.view("<u4"), first
    while at < size:
        count = min(ROWS * ROW, size - at)
        for part in np.frombuffer(source.read(at, count), "<u4").reshape(-1, WORDS):
            row = _moved(row, WORDS) ^ part
        at += count
    return _folded(row) ^ 0xFFFFFFFF


def masked_crc32c(source: Source) -> int:
    """The checksum as tables and their entries keep it: one of what holds checksums would be a poor one."""
    crc = crc32c(source)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def masked_of(data: bytes) -> int:
    """The same of bytes in memory."""
    return masked_crc32c(BytesSource(data))


def _carried(head: Array, source: Source, first: int) -> Array:
    """The first row when the start value reaches into the second one."""
    import numpy as np

    second = np.frombuffer(bytearray(source.read(first, ROW)), np.uint8)
    second[: 4 - first] ^= 0xFF
    carried: Array = _moved(head.view("<u4"), WORDS) ^ second.view("<u4")
    return carried


def _folded(row: Array) -> int:
    while len(row) > 1:
        half = len(row) // 2
        row = _moved(row[:half], half) ^ row[half:]
    return int(_moved(row, 1)[0])


def _moved(row: Array, words: int) -> Array:
    """Each word as it counts when ``words`` more follow."""
    import numpy as np

    tables = _tables(words)
    lanes = np.ascontiguousarray(row).view(np.uint8).reshape(-1, 4)
    result: Array = tables[0][lanes[:, 0]]
    for place in (1, 2, 3):
        result ^= tables[place][lanes[:, place]]
    return result


@cache
def _tables(words: int) -> Array:
    """For each byte of a word and each of its values: that value, moved on."""
    import numpy as np

    factor = power(32 * words, POLYNOMIAL)
    tables = np.zeros((4, 256), np.uint32)
    for place in range(4):
        for bit in range(8):
            moved = product(1 << (8 * place + bit), factor, POLYNOMIAL)
            tables[place, 1 << bit : 2 << bit] = tables[place, : 1 << bit] ^ np.uint32(moved)
    return tables


def _bytewise(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
