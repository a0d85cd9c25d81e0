"""Part of a keeper of blobs: those whose names begin with a folder, known without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from lepton_ai.store.contract import BlobInfo, Blobs


class Under:
    """The blobs of ``whole`` below ``folder`` (a relative path)."""

    def __init__(self, whole: Blobs, folder: str) -> None:
        self.inner, self._before = whole, folder.strip("/") + "/"

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over under ``name``."""
        self.inner.put(self._before + name, source)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        return self.inner.get(self._before + name, offset, length)

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        return replace(self.inner.info(self._before + name), name=name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``."""
        for info in self.inner.list(self._before + prefix):
            yield replace(info, name=info.name.removeprefix(self._before))

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        self.inner.delete([self._before + name for name in names])
