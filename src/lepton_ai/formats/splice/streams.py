"""Deflated bytes as Sources: what a stream inflates to, and what bytes deflate to, at any place.

Reading goes on from where it stopped, or from the nearest of the states that are kept on the way.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Any, NamedTuple

from lepton_ai.formats.contract import Malformed, Source, check_range

PIECE = 1 << 18
APART = 16 << 20
"""Bytes between two states that are kept; one takes up to a quarter of a MiB."""

LEVEL = 6
"""zlib's own default, and that of whoever writes zip archives."""


class _State(NamedTuple):
    """Before the bytes from ``made`` on, with ``used`` bytes of the input taken."""

    made: int
    used: int
    coder: Any


class _Stream(ABC):
    """Bytes that come out of a coder one piece after the other."""

    def __init__(self, source: Source, coder: Any) -> None:
        self._source = source
        self._kept = [_State(0, 0, coder)]
        self._restore(0)

    def _restore(self, number: int) -> None:
        self._made, self._used, coder = self._kept[number]
        self._coder, self._piece = coder.copy(), b""

    @abstractmethod
    def _next(self) -> bytes:
        """Take some more of the input, and give what comes out; empty only at the end."""

    def _step(self) -> bool:
        """Go on to the next piece; False at the end."""
        self._made += len(self._piece)
        if self._made >= self._kept[-1].made + APART:
            self._kept.append(_State(self._made, self._used, self._coder.copy()))
        self._piece = self._next()
        return bool(self._piece)

    def _read(self, offset: int, length: int) -> bytes:
        if offset < self._made:
            self._restore(bisect_right(self._kept, offset, key=lambda state: state.made) - 1)
        elif offset > self._made + len(self._piece) + APART:
            number = bisect_right(self._kept, offset, key=lambda state: state.made) - 1
            if self._kept[number].made > self._made:
                self._restore(number)
        parts: list[bytes] = []
        at, end = offset, offset + length
        while at < end:
            if at >= self._made + len(self._piece):
                if not self._step():
                    raise Malformed("deflated bytes that end too early")
                continue
            parts.append(self._piece[at - self._made : end - self._made])
            at += len(parts[-1])
        return b"".join(parts)


class Inflated(_Stream):
    """The ``size`` bytes that the raw stream ``source`` inflates to."""

    def __init__(self, source: Source, size: int) -> None:
        self.size = size
        super().__init__(source, zlib.decompressobj(-15))

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return self._read(offset, length)

    def _next(self) -> bytes:
        while not self._coder.eof:
            data = self._source.read(self._used, min(PIECE, self._source.size - self._used))
            try:
                made: bytes = self._coder.decompress(data, PIECE)
            except zlib.error as error:
                raise Malformed(f"bytes that cannot be inflated: {error}") from None
            self._used += len(data) - len(self._coder.unconsumed_tail)
            if made or not data:
                return made
        return b""


class Deflated(_Stream):
    """What ``source`` deflates to. It is deflated once to know how long that is, and again to be read."""

    def __init__(self, source: Source, level: int = LEVEL) -> None:
        self._done = False
        super().__init__(source, zlib.compressobj(level, wbits=-15))
        while self._step():
            pass
        self.size = self._made
        self._restore(0)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return self._read(offset, length)

    def _restore(self, number: int) -> None:
        super()._restore(number)
        self._done = False

    def _next(self) -> bytes:
        while not self._done:
            data = self._source.read(self._used, min(PIECE, self._source.size - self._used))
            self._used += len(data)
            self._done = not data
            made: bytes = self._coder.compress(data) if data else self._coder.flush()
            if made:
                return made
        return b""
