"""Where the bytes of a version's tensors are: in the blocks of the store."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from lepton_ai.formats.contract import Extent, Tensor
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.reading import Opened, Reader, place_of
from lepton_ai.store.blocks.span import Span
from lepton_ai.types import FileEntry

KEPT = 8
"""Blocks that stay decoded."""
SMALL = 1 << 16
"""Bytes up to which what is read probably shares its block with what is read next."""


class Piece(NamedTuple):
    """``length`` bytes that are those of the block ``id`` from ``start``."""

    id: bytes
    start: int
    length: int


class Held(Protocol):
    """Where the bytes of a version's files are, or of files that might become one."""

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Every tensor with the path of its file, in the order of the files."""

    def lack(self, path: str, tensor: Tensor) -> str:
        """What keeps a tensor of the file ``path`` from being read; empty: nothing does."""

    def read(self, path: str, extent: Extent, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` of an extent of a tensor of the file ``path``."""

    def pieces(self, path: str, extent: Extent) -> Iterable[Piece]:
        """Which parts of which blocks an extent is made of; of equal blocks the ids are equal."""


class Stored:
    """What a version's files hold, in the store: the blocks of its manifests."""

    def __init__(self, reader: Reader, entries: Iterable[FileEntry]) -> None:
        self.reader = reader
        self._opened: Opened = reader.opened(entries)
        self.manifests: dict[str, Manifest] = self._opened.manifests
        self._spans: dict[str, Span] = {}
        self._last: dict[bytes, bytes | memoryview] = {}
        self._lock = threading.Lock()

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Every tensor with the path of its file."""
        return ((path, t) for path, manifest in self._opened.manifests.items() for t in manifest.tensors)

    def lack(self, path: str, tensor: Tensor) -> str:
        """What keeps a tensor from being read."""
        return self._opened.lack(path, tensor)

    def read(self, path: str, extent: Extent, offset: int, length: int) -> bytes:
        """Bytes of an extent; only the blocks that cover them are opened."""
        if length <= SMALL:
            found = self._span(path, extent).pieces(extent.offset + offset, length)
            pieces = [(piece.id, piece.start, piece.length) for piece in found]
            blocks = self.blocks(dict.fromkeys(id_ for id_, _, _ in pieces))
            return b"".join(memoryview(blocks[id_])[start : start + count] for id_, start, count in pieces)
        content = self._opened.manifests[place_of(path, extent)].content
        return self.reader.read(content, extent.offset + offset, length)

    def blocks(self, ids: Iterable[bytes]) -> dict[bytes, bytes | memoryview]:
        """Whole blocks, read together: what one of them is a difference to is decoded once.

        Those of the last calls are still there: thousands of small tensors lie in one block.
        """
        wanted = list(ids)
        with self._lock:
            found = {id_: self._last[id_] for id_ in wanted if id_ in self._last}
        missing = [id_ for id_ in wanted if id_ not in found]
        if missing:
            found |= self.reader.blocks(missing)
            with self._lock:
                self._last |= {id_: found[id_] for id_ in missing[:KEPT]}
                for id_ in list(self._last)[:-KEPT]:
                    del self._last[id_]
        return found

    def pieces(self, path: str, extent: Extent) -> Iterable[Piece]:
        """The blocks, as the manifest tells them."""
        found = self._span(path, extent).pieces(extent.offset, extent.length)
        return [Piece(p.id, p.start, p.length) for p in found]

    def _span(self, path: str, extent: Extent) -> Span:
        place = place_of(path, extent)
        span = self._spans.get(place)
        if span is None:
            span = self._spans[place] = Span(self._opened.manifests[place].content)
        return span
