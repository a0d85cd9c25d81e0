"""A wrapper that counts what is read: the promise of constant work is tested with it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from lepton_ai.store.contract import BlobInfo, Blobs


class CountingBlobs:
    """Passes everything on to ``inner`` and counts."""

    def __init__(self, inner: Blobs) -> None:
        self.inner = inner
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Count from zero again."""
        self.gets = self.bytes_read = self.puts = self.listings = 0
        self.opened: set[str] = set()

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""
        with self._lock:
            self.puts += 1
        self.inner.put(name, source)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        with self._lock:
            self.gets += 1
            self.bytes_read += length
            self.opened.add(name)
        return self.inner.get(name, offset, length)

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        return self.inner.info(name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``."""
        with self._lock:
            self.listings += 1
        return self.inner.list(prefix)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        self.inner.delete(names)
