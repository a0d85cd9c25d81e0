"""Reading files: content → batches of blocks, fetched ahead and in parallel → bytes in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.progress import Progress
from lepton_ai.store.blocks.span import Piece, Span
from lepton_ai.store.codecs.contract import Bytes
from lepton_ai.store.contract import Content
from lepton_ai.store.pipeline import Pool, portions
from lepton_ai.store.reader import Near, Reader

BATCH = 1 << 20
BATCH_BLOCKS = 512
AT_ONCE = 4 << 20
"""Bytes that a thread decodes at a time into memory that is there already."""


class Batch(NamedTuple):
    """Pieces in file order, and the ids of those of their blocks that are not at hand from an earlier batch."""

    pieces: list[Piece]
    ids: list[bytes]


def batches(pieces: Iterable[Piece]) -> Iterator[Batch]:
    """Group pieces so that their blocks are about BATCH bytes. A block is asked for when it is first needed."""
    asked: dict[int, int] = {}
    batch, total = Batch([], []), 0
    for piece in pieces:
        if asked.get(piece.stream) != piece.number:
            if batch.ids and (total + piece.size > BATCH or len(batch.ids) >= BATCH_BLOCKS):
                yield batch
                batch, total = Batch([], []), 0
            batch.ids.append(piece.id)
            total += piece.size
            if not piece.last:
                asked[piece.stream] = piece.number
        batch.pieces.append(piece)
        if piece.last:
            asked.pop(piece.stream, None)
    if batch.pieces:
        yield batch


def read(reader: Reader, span: Span, offset: int, length: int, near: Near | None = None) -> Generator[Bytes]:
    """``length`` bytes of a file from ``offset``, in order, in portions of about BATCH bytes; ``near``: see the reader.

    Raises:
        UsageError: the range lies outside of the file.
        Damaged, KeyMissing, TooNew, StorageFailed.
    """
    pending = batches(span.pieces(offset, length))
    first = next(pending, None)
    if first is None:
        return
    held: dict[int, Bytes] = {}
    if length <= BATCH:  # not worth any threads
        for batch in (first, *pending):
            yield _portion(batch.pieces, reader.fetch(batch.ids, near), held)
        return
    with Pool() as pool:
        work = partial(_fetch, reader, near)
        for batch, blocks in pool.map(work, _chain(first, pending)):
            yield _portion(batch.pieces, blocks, held)


def fill(reader: Reader, span: Span, target: memoryview, progress: Progress) -> None:
    """Put a whole file into ``target``, which is as long; blocks are decoded where they belong. Advances ``progress``.

    Raises:
        Damaged, KeyMissing, TooNew, StorageFailed.
    """
    with Pool() as pool:
        for length in pool.map(partial(_fill, reader), _places(span, target)):
            progress.advance(length)


def unharmed(reader: Reader, content: Content, progress: Progress) -> bool:
    """Whether everything that a file is made of is there as it was written, without decoding it. Advances ``progress``
    by the bytes of the file when it is.

    Raises:
        KeyMissing, TooNew, StorageFailed.
    """
    pieces = Span(content).pieces(0, content.size)
    sizes = {piece.id: piece.size for piece in pieces}
    groups = portions(sizes, sizes.__getitem__, AT_ONCE, BATCH_BLOCKS)
    with Pool() as pool:
        for whole in pool.map(reader.unharmed, groups):
            if not whole:
                return False
    progress.advance(content.size)
    return True


class _Places(NamedTuple):
    """Blocks that are to be read together, each with the memory for all of it or, ``parted``, for pieces of it."""

    whole: dict[bytes, list[memoryview]]
    parted: list[tuple[Piece, memoryview]]
    length: int


def _places(span: Span, target: memoryview) -> Iterator[_Places]:
    whole: dict[bytes, list[memoryview]] = {}
    parted: list[tuple[Piece, memoryview]] = []
    place = total = count = 0
    for piece in span.pieces(0, len(target)):
        if count and (total + piece.length > AT_ONCE or count >= BATCH_BLOCKS):
            yield _Places(whole, parted, total)
            whole, parted, total, count = {}, [], 0, 0
        memory = target[place : place + piece.length]
        if piece.length == piece.size:
            whole.setdefault(piece.id, []).append(memory)
        else:
            parted.append((piece, memory))
        place, total, count = place + piece.length, total + piece.length, count + 1
    yield _Places(whole, parted, total)


def _fill(reader: Reader, places: _Places) -> int:
    reader.fill({id_: memories[0] for id_, memories in places.whole.items()})
    for first, *others in places.whole.values():
        for other in others:
            if len(other) != len(first):
                raise _inconsistent(len(first), len(other))
            other[:] = first
    blocks = reader.fetch(piece.id for piece, _ in places.parted)
    for piece, memory in places.parted:
        block = blocks[piece.id]
        if len(block) != piece.size:
            raise _inconsistent(len(block), piece.size)
        memory[:] = memoryview(block)[piece.start : piece.start + piece.length]
    return places.length


def _inconsistent(length: int, due: int) -> Damaged:
    return Damaged(f"the content of a file is inconsistent: a block of {length} bytes for {due}")


def _chain(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


def _fetch(reader: Reader, near: Near | None, batch: Batch) -> tuple[Batch, dict[bytes, Bytes]]:
    return batch, reader.fetch(batch.ids, near)


def _portion(pieces: list[Piece], blocks: dict[bytes, Bytes], held: dict[int, Bytes]) -> Bytes:
    """The bytes of the pieces; ``held`` keeps for each stream the block that is needed again later."""
    parts: list[Bytes] = []
    for piece in pieces:
        block = blocks[piece.id] if piece.id in blocks else held[piece.stream]
        if len(block) != piece.size:
            raise _inconsistent(len(block), piece.size)
        whole = piece.length == len(block)
        parts.append(block if whole else memoryview(block)[piece.start : piece.start + piece.length])
        if piece.last:
            held.pop(piece.stream, None)
        else:
            held[piece.stream] = block
    return parts[0] if len(parts) == 1 else b"".join(parts)
