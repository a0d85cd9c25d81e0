"""A stored file without its tensors' bytes: what readers of headers and configurations need."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from lepton_ai.formats.contract import check_range
from lepton_ai.history.reading import Reader
from lepton_ai.store.contract import OPAQUE, Content

MOST = 64 << 20
"""Bytes beside the tensors, beyond which a file is not looked into: they are held in memory."""
PIECE = 1 << 20
KEPT = 7


class Structure:
    """A :class:`~lepton_ai.formats.contract.Source` whose tensors' bytes are all zero: their blocks are never read."""

    def __init__(self, reader: Reader, content: Content) -> None:
        self._content = content
        opaque = next((s for s in content.streams if s.key == OPAQUE), None)
        self._data = b""
        if opaque is not None:
            alone = Content(opaque.length, content.block_size, ((0, opaque.length),), (opaque,))
            self._data = reader.read(alone, 0, opaque.length)
        self._starts = [0, *accumulate(length for _, length in content.runs)]
        own = (length if content.streams[stream].key == OPAQUE else 0 for stream, length in content.runs)
        self._within = [0, *accumulate(own)]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        parts, run = [], max(0, bisect_right(self._starts, offset) - 1)
        while length:
            stream, total = self._content.runs[run]
            skipped = offset - self._starts[run]
            amount = min(length, total - skipped)
            if self._content.streams[stream].key == OPAQUE:
                at = self._within[run] + skipped
                parts.append(self._data[at : at + amount])
            else:
                parts.append(bytes(amount))
            offset, length, run = offset + amount, length - amount, run + 1
        return b"".join(parts)


class Everything:
    """A Source over all bytes of a stored file, in pieces of which the last few are kept."""

    def __init__(self, reader: Reader, content: Content) -> None:
        self._reader, self._content = reader, content
        self._kept: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        parts = []
        while length:
            number, skipped = divmod(offset, PIECE)
            part = self._piece(number)[skipped : skipped + length]
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def _piece(self, number: int) -> bytes:
        found = self._kept.pop(number, None)
        if found is None:
            start = number * PIECE
            found = self._reader.read(self._content, start, min(PIECE, self.size - start))
            self._kept = dict(list(self._kept.items())[-KEPT:])
        self._kept[number] = found
        return found


def beside_tensors(content: Content) -> bytes:
    """The ids of the blocks that hold what is no tensor's; equal ones mean an equal structure."""
    return b"".join(stream.blocks for stream in content.streams if stream.key == OPAQUE)
