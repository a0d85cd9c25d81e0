"""Blobs in memory: for tests and for repositories that need not outlive the process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.contract import BlobInfo
from lepton_ai.store.durable import storage_errors


class MemoryBlobs:
    """Blobs as a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""
        with storage_errors(source):
            data = source.read_bytes()
            self._blobs.setdefault(name, (data, time.time()))
            source.unlink()

    def _find(self, name: str) -> tuple[bytes, float]:
        try:
            return self._blobs[name]
        except KeyError:
            raise NotFound(f"There is no {name} in memory.") from None

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        data, _ = self._find(name)
        start = offset if offset >= 0 else len(data) + offset
        if start < 0 or start + length > len(data):
            raise Damaged(f"{name} is cut: {length} bytes at {offset} are not all there.")
        return data[start : start + length]

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        data, written_at = self._find(name)
        return BlobInfo(name, len(data), written_at)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``."""
        for name, (data, written_at) in list(self._blobs.items()):
            if name.startswith(prefix):
                yield BlobInfo(name, len(data), written_at)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        for name in names:
            self._blobs.pop(name, None)
