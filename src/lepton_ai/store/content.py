"""Reading files: content → batches of blocks, fetched ahead and in parallel → bytes in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.store.blocks.span import Piece, Span
from lepton_ai.store.codecs.contract import Bytes
from lepton_ai.store.pipeline import Pool
from lepton_ai.store.reader import Reader

BATCH = 1 << 20
BATCH_BLOCKS = 512


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


def read(reader: Reader, span: Span, offset: int, length: int) -> Generator[Bytes]:
    """``length`` bytes of a file from ``offset``, in order, in portions of about BATCH bytes.

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
            yield _portion(batch.pieces, reader.fetch(batch.ids), held)
        return
    with Pool() as pool:
        work = partial(_fetch, reader)
        for batch, blocks in pool.map(work, _chain(first, pending)):
            yield _portion(batch.pieces, blocks, held)


def _chain(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


def _fetch(reader: Reader, batch: Batch) -> tuple[Batch, dict[bytes, Bytes]]:
    return batch, reader.fetch(batch.ids)


def _portion(pieces: list[Piece], blocks: dict[bytes, Bytes], held: dict[int, Bytes]) -> Bytes:
    """The bytes of the pieces; ``held`` keeps for each stream the block that is needed again later."""
    parts: list[Bytes] = []
    for piece in pieces:
        block = blocks[piece.id] if piece.id in blocks else held[piece.stream]
        if len(block) != piece.size:
            raise Damaged(
                f"the content of a file is inconsistent: a block of {len(block)} bytes for {piece.size}"
            )
        whole = piece.length == len(block)
        parts.append(block if whole else memoryview(block)[piece.start : piece.start + piece.length])
        if piece.last:
            held.pop(piece.stream, None)
        else:
            held[piece.stream] = block
    return parts[0] if len(parts) == 1 else b"".join(parts)
