"""A Source as a file that is open for reading."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

AT_ONCE = 4 << 20
"""Bytes that are read ahead."""


def opened(source: Source) -> io.BufferedReader:
    """The file, standing at its beginning."""
    return io.BufferedReader(SourceFile(source), AT_ONCE)


class SourceFile(io.RawIOBase):
    """A Source as a file that is open for reading."""

    def __init__(self, source: Source) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Stand elsewhere."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; less than that is the end."""
        target = memoryview(buffer).cast("B")
        count = max(0, min(len(target), self._source.size - self._at))
        target[:count] = self._source.read(self._at, count) if count else b""
        self._at += count
        return count
