"""Finding a base for a tensor of unknown lineage: by a small sketch, compared with those of equal type and length.

A sketch is made of 64 samples of four neighbouring numbers, one kilobyte of a tensor of float32. Of each sample only
signs and exponents count, which training hardly changes, as a keyed hash of two bytes: sketches lie in the index in the
clear and must tell nothing of the weights. Of a fine-tune most samples agree with the parent's, of unrelated weights
hardly one. They are lost with the index; then tensors of unknown lineage are stored in full.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import BinaryIO, NamedTuple

from blake3 import blake3

from lepton_ai.store.blocks.cut import Plan
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.contract import Stream
from lepton_ai.store.index import Index
from lepton_ai.store.pairing import Pairing

SAMPLES = 64
NUMBERS = 4
SMALLEST = 4096
"""Bytes below which a tensor is not worth a search."""

MOST_TENSORS = 4096
"""Tensors of a file for which a base is looked for at most, the largest first."""

ALIKE = 0.25
"""The part of the samples that must agree."""

_KEPT = {
    10: (2, 0xFC00),
    11: (2, 0xFF80),
    12: (4, 0xFF800000),
    13: (8, 0xFFF0 << 48),
    14: (4, 0xFF800000),
    15: (8, 0xFFF0 << 48),
    16: (1, 0xF8),
    17: (1, 0xFC),
    18: (1, 0xF8),
    19: (1, 0xFC),
    2: (1, 0xF0),
    3: (1, 0xF0),
}
"""By element number: the bytes of a number, and the bits of it that count. Other types are not looked for."""

Read = Callable[[int, int], bytes]


_FIND = """
    SELECT key, dtype, length, block_size, blocks, sketch FROM sketches WHERE dtype = ? AND length = ?
    ORDER BY number DESC LIMIT 4096
"""
_MOVE = """
    UPDATE sketches SET key = ?, block_size = ?, blocks = ? WHERE dtype = ? AND length = ? AND blocks = ?
"""
_ADD = """
    INSERT INTO sketches(key, dtype, length, block_size, blocks, sketch) SELECT ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM sketches WHERE dtype = ? AND length = ? AND blocks = ?)
"""


class Sketched(NamedTuple):
    """A tensor's sketch, and the tensor: its name, type, length in bytes and blocks."""

    key: str
    dtype: str
    length: int
    block_size: int
    blocks: bytes
    sketch: bytes


class New(NamedTuple):
    """A tensor whose base was looked for, with its sketch."""

    key: str
    dtype: str
    sketch: bytes


class Search:
    """The sketches of one repository, for one writer."""

    def __init__(self, index: Index, id_key: bytes) -> None:
        self._index = index
        self._key = blake3(b"lepton-ai sketch", key=id_key).digest()
        self._rows: dict[tuple[str, int], list[Sketched]] = {}
        self._new: list[Sketched] = []
        self._moved: list[tuple[bytes, Sketched]] = []

    def pair(self, file: BinaryIO, plan: Plan, pairing: Pairing) -> list[New]:
        """Look for bases of the tensors that ``pairing`` has none for, and add them to it."""
        read = reader_of(file)
        if read is None:
            return []
        alone = [
            (length, key, dtype, start)
            for key, dtype, length, start in plan.tensors()
            if length >= SMALLEST
            and element_of(dtype).number in _KEPT
            and not pairing.has(key, dtype, length)
        ]
        found = []
        for length, key, dtype, start in sorted(alone, reverse=True)[:MOST_TENSORS]:
            mine = sketch(read, start, length, dtype, self._key)
            best = self._best(dtype, length, mine)
            if best is not None:
                pairing.lend(key, dtype, Stream(best.key, dtype, length, best.blocks), best.block_size)
            found.append(New(key, dtype, mine))
        return found

    def remember(
        self, new: Iterable[New], streams: Iterable[Stream], block_size: int, pairing: Pairing
    ) -> None:
        """Keep the sketches of a file that was taken; a child takes its parent's place."""
        sketches = {(one.key, one.dtype): one.sketch for one in new}
        for stream in streams:
            mine = sketches.get((stream.key, stream.dtype))
            if mine is not None:
                self._new.append(
                    Sketched(stream.key, stream.dtype, stream.length, block_size, stream.blocks, mine)
                )
                continue
            parent = pairing.partner(stream.key, stream.dtype)
            if parent is not None and parent.length == stream.length and parent.blocks != stream.blocks:
                row = Sketched(stream.key, stream.dtype, stream.length, block_size, stream.blocks, b"")
                self._moved.append((parent.blocks, row))

    def store(self) -> None:
        """Write what was remembered."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                _MOVE, ((n.key, n.block_size, n.blocks, n.dtype, n.length, old) for old, n in self._moved)
            )
            connection.executemany(_ADD, ((*row, row.dtype, row.length, row.blocks) for row in self._new))

        if self._new or self._moved:
            self._index.write(work)

    def _best(self, dtype: str, length: int, mine: bytes) -> Sketched | None:
        if (dtype, length) not in self._rows:
            self._rows[dtype, length] = known(self._index, dtype, length)
        rows = self._rows[dtype, length]
        best, most = None, ALIKE * SAMPLES
        for row in rows:
            same = sum(mine[i : i + 2] == row.sketch[i : i + 2] for i in range(0, len(mine), 2))
            if same > most:
                best, most = row, same
        return best


def known(index: Index, dtype: str, length: int) -> list[Sketched]:
    """The sketches of tensors of a type and length in bytes, the newest first."""
    return [Sketched._make(row) for row in index.rows(_FIND, (dtype, length))]


def sketch(read: Read, start: int, length: int, dtype: str, key: bytes) -> bytes:
    """The sketch of the tensor whose ``length`` bytes begin at ``start``: two bytes a sample."""
    width, mask = _KEPT[element_of(dtype).number]
    size = NUMBERS * width
    step = (length - size) // (SAMPLES - 1) // width * width
    full = int.from_bytes(mask.to_bytes(width, "little") * NUMBERS, "little")
    result = bytearray()
    for i in range(SAMPLES):
        number = int.from_bytes(read(start + i * step, size), "little") & full
        result += blake3(number.to_bytes(size, "little"), key=key).digest(length=2)
    return bytes(result)


def reader_of(file: BinaryIO) -> Read | None:
    """Reading anywhere in a file without moving it, counted from where it stands; None where that cannot be."""
    if isinstance(file, BytesIO):
        data, here = file.getbuffer(), file.tell()
        return lambda offset, length: bytes(data[here + offset : here + offset + length])
    try:
        handle, here = file.fileno(), file.tell()
    except OSError:
        return None
    return lambda offset, length: os.pread(handle, length, here + offset)
