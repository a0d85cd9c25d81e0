"""Files on the disk that might become a version, held as one is: their tensors' blocks as the store would cut them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from lepton_ai.errors import StorageFailed
from lepton_ai.formats.contract import Extent, Layout, Tensor
from lepton_ai.formats.detect import layouts
from lepton_ai.history.files import FileSource, Found, collect
from lepton_ai.history.held import Piece
from lepton_ai.history.reading import place_of
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.store import Store
from lepton_ai.types import FileEntry

_AT_ONCE = 1 << 22


def _stamp(place: Path) -> tuple[int, ...]:
    """What changes when somebody writes into a file; nothing where there is none."""
    try:
        status = place.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Outside:
    """A file or folder on the disk; a context manager that holds its files open.

    ``entries`` are what its files would be in a version, ``layouts`` what is in them.

    Raises:
        NotFound, UsageError, StorageFailed.
    """

    def __init__(self, path: str | Path, store: Store) -> None:
        self._store = store
        found = collect(path)
        files = [file for file in found if file.target is None]
        self.sources = {file.path: FileSource(file.place, file.size) for file in files}
        self._stamps = {file.place: _stamp(file.place) for file in files}
        try:
            self.layouts: dict[str, Layout] = layouts(self.sources)
            self.entries = tuple(self._entry(file) for file in found)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Outside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settle(self) -> None:
        """Make sure that what was read is still there, as it was.

        Raises:
            StorageFailed: somebody wrote into a file, replaced or removed it meanwhile.
        """
        for place, stamp in self._stamps.items():
            if _stamp(place) != stamp:
                raise StorageFailed(
                    f"{place} changed while it was compared", hint="repeat when it is complete"
                )

    def close(self) -> None:
        """Let go of the files."""
        for source in self.sources.values():
            source.close()

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Every tensor with the path of its file."""
        return ((path, tensor) for path, layout in self.layouts.items() for tensor in layout.tensors)

    def lack(self, path: str, tensor: Tensor) -> str:
        """What keeps a tensor from being read."""
        missing = {place_of(path, extent) for extent in tensor.extents} - self.sources.keys()
        return f"lies in {min(missing)}, which is not there" if missing else ""

    def read(self, path: str, extent: Extent, offset: int, length: int) -> bytes:
        """Bytes of an extent."""
        return self.sources[place_of(path, extent)].read(extent.offset + offset, length)

    def pieces(self, path: str, extent: Extent) -> Iterator[Piece]:
        """The blocks as which a save would store it: of the store's size, from where the extent begins."""
        step = self._store.block_size
        for at in range(0, extent.length, step):
            data = self.read(path, extent, at, min(step, extent.length - at))
            yield Piece(self._store.object_id(data), 0, len(data))

    def _entry(self, file: Found) -> FileEntry:
        if file.target is not None:
            return FileEntry(file.path, "", 0, target=file.target)
        checksum, source = hashlib.sha256(), self.sources[file.path]
        with storage_errors(file.place):
            for at in range(0, file.size, _AT_ONCE):
                checksum.update(source.read(at, min(_AT_ONCE, file.size - at)))
        return FileEntry(file.path, checksum.hexdigest(), file.size, executable=file.executable)
