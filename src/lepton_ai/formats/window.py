"""Small reads of a large file, answered from a buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lepton_ai.formats.contract import Source

FIRST = 4096
LARGEST = 262_144


class Window:
    """Reads a Source in pieces of 4 KiB, larger ones while the reading goes on in one run.

    Headers that lie scattered between tensors cost one small read each; a header of many MB costs few large
    ones.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start, self._buffer, self._step = 0, b"", FIRST

    @property
    def size(self) -> int:
        """Length of the Source in bytes."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; meant for headers: ``length`` is kept in memory.

        Raises:
            Malformed: the range is not wholly inside of the Source.
        """
        at = offset - self._start
        if at < 0 or at + length > len(self._buffer):
            self._fill(offset, length)
            at = 0
        return self._buffer[at : at + length]

    def ahead(self, offset: int, length: int) -> tuple[bytes, int]:
        """A buffer and the place of ``offset`` in it; ``length`` bytes follow there, or what the Source still has.

        Raises:
            Malformed: ``offset`` is not inside of the Source.
        """
        at = offset - self._start
        if at < 0 or at + length > len(self._buffer):
            length = max(0, min(length, self.size - offset))
            if at < 0 or at + length > len(self._buffer):
                self._fill(offset, length)
                at = 0
        return self._buffer, at

    def _fill(self, offset: int, length: int) -> None:
        gap = offset - self._start - len(self._buffer)
        runs_on = -len(self._buffer) <= gap <= self._step // 4  # a short string was stepped over
        self._step = min(self._step * 2, LARGEST) if runs_on else FIRST
        wanted = min(max(length, self._step), max(self.size - offset, length))
        self._buffer = self._source.read(offset, wanted)
        self._start = offset
