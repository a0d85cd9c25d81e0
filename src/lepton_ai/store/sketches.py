"""Finding a base for a tensor of unknown lineage: by a small sketch, compared with those of equal type and length.

A sketch is made of 64 samples of four neighbouring numbers, one kilobyte of a tensor of float32. Of each sample only
signs and exponents count, which training hardly changes, as a keyed hash of one byte: sketches lie in the index in the
clear and must tell nothing of the weights but which tensors resemble each other. Of a fine-tune most samples agree with
the parent's, of unrelated weights hardly one. They are lost with the index; then tensors of unknown lineage are stored
in full.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from io import BytesIO
from operator import eq
from typing import BinaryIO, NamedTuple

from blake3 import blake3

from lepton_ai.errors import Damaged, KeyMissing
from lepton_ai.store.blocks.cut import Plan
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.contract import Stream
from lepton_ai.store.index import Index
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.seal.keyring import Keyring

SAMPLES = 64
NUMBERS = 4
NAME = 8
"""Bytes of the keyed hashes that stand for a type and length, and for a tensor's blocks."""

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


_FIND = (
    "SELECT place, seal, key_id, body, sketch FROM sketches WHERE kind = ? ORDER BY number DESC LIMIT 4096"
)
_MOVE = "UPDATE sketches SET place = ?, seal = ?, key_id = ?, body = ? WHERE kind = ? AND place = ?"
_ADD = """
    INSERT INTO sketches(kind, place, seal, key_id, body, sketch) SELECT ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM sketches WHERE kind = ? AND place = ?)
"""
_PURPOSE = b"lepton-ai sketch"


class Known(NamedTuple):
    """A tensor that was sketched: where its blocks are named, sealed, and the sketch."""

    place: bytes
    seal: int
    key_id: bytes
    body: bytes
    sketch: bytes


class New(NamedTuple):
    """A tensor whose base was looked for, with its sketch."""

    key: str
    dtype: str
    sketch: bytes


class Search:
    """The sketches of one repository, for one writer. The index learns no name, type, length or block of a tensor."""

    def __init__(self, index: Index, keyring: Keyring) -> None:
        self._index = index
        self._keyring = keyring
        self._key = blake3(_PURPOSE, key=keyring.id_key).digest()
        self._rows: dict[bytes, list[Known]] = {}
        self._new: list[tuple[object, ...]] = []
        self._moved: list[tuple[object, ...]] = []

    def pair(self, file: BinaryIO, plan: Plan, pairing: Pairing) -> list[New]:
        """Look for bases of the tensors that ``pairing`` has none for, and add them to it."""
        read = reader_of(file)
        if read is None:
            return []
        alone = [
            (length, key, dtype, start)
            for key, dtype, length, start in plan.tensors()
            if length >= SMALLEST and can_sketch(dtype) and not pairing.has(key, dtype, length)
        ]
        found = []
        for length, key, dtype, start in sorted(alone, reverse=True)[:MOST_TENSORS]:
            mine = sketch(read, start, length, dtype, self._key)
            best = self._best(self._kind(dtype, length), mine)
            if best is not None:
                block_size, blocks = best
                pairing.lend(key, dtype, Stream(key, dtype, length, blocks), block_size)
            found.append(New(key, dtype, mine))
        return found

    def remember(
        self, new: Iterable[New], streams: Iterable[Stream], block_size: int, pairing: Pairing
    ) -> None:
        """Keep the sketches of a file that was taken; a child takes its parent's place."""
        sketches = {(one.key, one.dtype): one.sketch for one in new}
        for stream in streams:
            mine = sketches.get((stream.key, stream.dtype))
            kind = self._kind(stream.dtype, stream.length)
            if mine is not None:
                place, *rest = self._sealed(stream, block_size)
                self._new.append((kind, place, *rest, mine, kind, place))
                continue
            parent = pairing.partner(stream.key, stream.dtype)
            if parent is not None and parent.length == stream.length and parent.blocks != stream.blocks:
                self._moved.append((*self._sealed(stream, block_size), kind, self._place(parent.blocks)))

    def store(self) -> None:
        """Write what was remembered."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_MOVE, self._moved)
            connection.executemany(_ADD, self._new)

        if self._new or self._moved:
            self._index.write(work)

    def known(self, dtype: str, length: int) -> list[bytes]:
        """The blocks of the tensors of a type and length in bytes that have a sketch, the newest first."""
        return [self._opened(row)[1] for row in self._find(self._kind(dtype, length))]

    def _best(self, kind: bytes, mine: bytes) -> tuple[int, bytes] | None:
        """Block size and blocks of the most similar tensor."""
        if kind not in self._rows:
            self._rows[kind] = self._find(kind)
        best, most = None, ALIKE * SAMPLES
        for row in self._rows[kind]:
            same = sum(map(eq, mine, row.sketch))
            if same > most:
                best, most = row, same
        try:
            return self._opened(best) if best is not None else None
        except (Damaged, KeyMissing):  # then it is stored in full
            return None

    def _find(self, kind: bytes) -> list[Known]:
        return [Known._make(row) for row in self._index.rows(_FIND, (kind,))]

    def _kind(self, dtype: str, length: int) -> bytes:
        return blake3(f"{dtype} {length}".encode(), key=self._key).digest(length=NAME)

    def _place(self, blocks: bytes) -> bytes:
        return blake3(blocks, key=self._key).digest(length=NAME)

    def _sealed(self, stream: Stream, block_size: int) -> tuple[bytes, int, bytes, bytes]:
        place, seal = self._place(stream.blocks), self._keyring.current
        body = seal.seal(block_size.to_bytes(8, "little") + stream.blocks, _PURPOSE + place)
        return place, seal.number, seal.key_id, b"".join(body)

    def _opened(self, row: Known) -> tuple[int, bytes]:
        data = bytes(self._keyring.opener(row.seal, row.key_id).open(row.body, _PURPOSE + row.place))
        return int.from_bytes(data[:8], "little"), data[8:]


def can_sketch(dtype: str) -> bool:
    """Whether tensors of this type are looked for."""
    return element_of(dtype).number in _KEPT


def likeness(one: bytes, other: bytes) -> float:
    """The part of the samples in which two sketches agree."""
    same: int = sum(map(eq, one, other))
    return same / SAMPLES


def sketch(read: Read, start: int, length: int, dtype: str, key: bytes) -> bytes:
    """The sketch of the tensor whose ``length`` bytes begin at ``start``: one byte a sample."""
    width, mask = _KEPT[element_of(dtype).number]
    size = NUMBERS * width
    step = (length - size) // (SAMPLES - 1) // width * width
    full = int.from_bytes(mask.to_bytes(width, "little") * NUMBERS, "little")
    result = bytearray()
    for i in range(SAMPLES):
        number = int.from_bytes(read(start + i * step, size), "little") & full
        result += blake3(number.to_bytes(size, "little"), key=key).digest(length=1)
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
