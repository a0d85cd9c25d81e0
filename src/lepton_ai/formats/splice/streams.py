"""Deflated bytes as Sources: what a stream inflates to, and what bytes deflate to, at any place.

Reading goes on from where it stopped, or from the nearest of the states that are kept on the way.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from threading import Lock
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
    """Bytes that come out of a coder one piece after the other; it has a coder only while it is being read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: list[_State] = []
        self._coder: Any = None
        self._made = self._used = 0
        self._piece = b""
        self._lock = Lock()

    @abstractmethod
    def _fresh(self) -> Any:
        """A coder for the beginning."""

    @abstractmethod
    def _over(self) -> bool:
        """Whether nothing more will come out: such a coder cannot be copied."""

    @abstractmethod
    def _next(self) -> bytes:
        """Take some more of the input, and give what comes out; empty only at the end."""

    def _go_to(self, offset: int) -> None:
        """Stand at or before ``offset``, as near as can be had."""
        number = bisect_right(self._kept, offset, key=lambda state: state.made) - 1
        before = self._kept[number] if number >= 0 else _State(0, 0, None)
        if self._coder is None or offset < self._made or before.made > self._made:
            self._made, self._used, coder = before
            self._coder, self._piece = coder.copy() if coder else self._fresh(), b""

    def _step(self) -> bool:
        """Go on to the next piece; False at the end."""
        self._made += len(self._piece)
        if self._made >= (self._kept[-1].made if self._kept else 0) + APART and not self._over():
            self._kept.append(_State(self._made, self._used, self._coder.copy()))
        self._piece = self._next()
        return bool(self._piece)

    def _read(self, offset: int, length: int, size: int) -> bytes:
        with self._lock:
            return self._locked(offset, length, size)

    def _locked(self, offset: int, length: int, size: int) -> bytes:
        self._go_to(offset)
        parts: list[bytes] = []
        at, end = offset, offset + length
        while at < end:
            if at < self._made + len(self._piece):
                parts.append(self._piece[at - self._made : end - self._made])
                at += len(parts[-1])
            elif not self._step():
                raise Malformed("deflated bytes that end too early")
        if end == size:
            self._coder, self._piece = None, b""
        return b"".join(parts)


class Inflated(_Stream):
    """The ``size`` bytes that the raw stream ``source`` inflates to."""

    def __init__(self, source: Source, size: int) -> None:
        self.size = size
        super().__init__(source)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``.

        Raises:
            Malformed: they are damaged, or the range is not wholly inside.
        """
        check_range(offset, length, self.size)
        return self._read(offset, length, self.size)

    def _fresh(self) -> Any:
        return zlib.decompressobj(-15)

    def _over(self) -> bool:
        return bool(self._coder.eof)

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
        super().__init__(source)
        self._level, self._done = level, False
        self._go_to(0)
        while self._step():
            pass
        self.size, self._coder = self._made, None

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return self._read(offset, length, self.size)

    def _fresh(self) -> Any:
        return zlib.compressobj(self._level, wbits=-15)

    def _over(self) -> bool:
        return self._done

    def _go_to(self, offset: int) -> None:
        super()._go_to(offset)
        self._done = self._done and bool(self._piece)

    def _next(self) -> bytes:
        while not self._done:
            data = self._source.read(self._used, min(PIECE, self._source.size - self._used))
            self._used += len(data)
            self._done = not data
            made: bytes = self._coder.compress(data) if data else self._coder.flush()
            if made:
                return made
        return b""
