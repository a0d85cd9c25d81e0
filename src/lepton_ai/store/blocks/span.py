"""Where every byte of a file is: file offsets → pieces of blocks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from lepton_ai.errors import Damaged, UsageError
from lepton_ai.store.contract import ID_SIZE, Content, Stream


class Piece(NamedTuple):
    """``length`` bytes from ``start`` of a block, which is ``size`` bytes long; ``last``: its stream ends with it."""

    stream: int
    number: int
    id: bytes
    size: int
    start: int
    length: int
    last: bool


def block_sizes(stream: Stream, block_size: int) -> tuple[int, ...] | range:
    """Where the blocks of a stream begin, and where the last one ends.

    Raises:
        Damaged: blocks and lengths do not fit together.
    """
    count = len(stream.blocks) // ID_SIZE
    if stream.sizes:
        ends = (0, *accumulate(stream.sizes))
        fits = len(stream.sizes) == count and min(stream.sizes) > 0 and ends[-1] == stream.length
    else:
        ends = ()
        fits = block_size > 0 and count == -(-stream.length // block_size)
    if not fits or len(stream.blocks) % ID_SIZE:
        raise Damaged(f"the content of a file is inconsistent: {count} blocks for {stream.length} bytes")
    return ends or range(0, (count + 1) * block_size, block_size)


class Span:
    """The content of a file, prepared for finding bytes in it."""

    def __init__(self, content: Content) -> None:
        """Raises Damaged when the content is inconsistent."""
        self.content = content
        self._starts = [block_sizes(stream, content.block_size) for stream in content.streams]
        self._run_starts: list[int] = []
        self._stream_starts: list[int] = []
        used = [0] * len(content.streams)
        place = 0
        for stream, length in content.runs:
            if not 0 <= stream < len(used) or length < 0:
                raise Damaged("the content of a file is inconsistent: a run of no stream")
            self._run_starts.append(place)
            self._stream_starts.append(used[stream])
            used[stream] += length
            place += length
        if place != content.size or used != [stream.length for stream in content.streams]:
            raise Damaged(f"the content of a file is inconsistent: {place} of {content.size} bytes")

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """The pieces that make ``length`` bytes of the file from ``offset``, in order.

        Raises:
            UsageError: the range lies outside of the file.
        """
        size = self.content.size
        if offset < 0 or length < 0 or offset + length > size:
            raise UsageError(f"Bytes {offset} to {offset + length} lie outside of a file of {size} bytes.")
        end = offset + length
        run = max(0, bisect_right(self._run_starts, offset) - 1)
        while offset < end:
            stream, run_length = self.content.runs[run]
            within = offset - self._run_starts[run]
            amount = min(end - offset, run_length - within)
            yield from self._blocks(stream, self._stream_starts[run] + within, amount)
            offset += amount
            run += 1

    def _blocks(self, number: int, offset: int, length: int) -> Iterator[Piece]:
        """The pieces of one stream."""
        stream, starts = self.content.streams[number], self._starts[number]
        end = offset + length
        block = bisect_right(starts, offset) - 1
        while offset < end:
            start, stop = starts[block], min(starts[block + 1], stream.length)
            amount = min(end, stop) - offset
            id_ = stream.blocks[block * ID_SIZE : (block + 1) * ID_SIZE]
            last = stop == stream.length and offset + amount == stop
            yield Piece(number, block, id_, stop - start, offset - start, amount, last)
            offset += amount
            block += 1
