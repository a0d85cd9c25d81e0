"""Blobs in a local folder, durable when ``put`` returns (no library's local store flushes)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from lepton_ai.errors import Damaged, NotFound, StorageFailed
from lepton_ai.store.contract import BlobInfo
from lepton_ai.store.durable import flush, flush_folder, make_folder, replacing, storage_errors
from lepton_ai.store.pipeline import Pool


class LocalBlobs:
    """Blobs as files below ``root``, which is made when the first one comes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or any(part.startswith(".") for part in parts):
            raise StorageFailed(f"{name!r} is no name of a blob")
        return self.root.joinpath(*parts)

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over; quick when it is on the same file system."""
        path = self._path(name)
        with storage_errors(path):
            make_folder(path.parent)
            descriptor = os.open(source, os.O_RDONLY)
            try:
                flush(descriptor)
            finally:
                os.close(descriptor)
            if path.exists():
                source.unlink()
            else:
                _move(source, path)
            for folder in self._folders(path):
                flush_folder(folder)

    def _folders(self, path: Path) -> Iterator[Path]:
        """The folders above ``path`` up to the root: another writer may have made them and not come to flush them."""
        for folder in path.parents:
            yield folder
            if folder == self.root:
                return

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        path = self._path(name)
        with storage_errors(path):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise NotFound(f"There is no {name} in {self.root}.") from error
            try:
                start = offset if offset >= 0 else os.fstat(descriptor).st_size + offset
                data = _read(descriptor, start, length) if start >= 0 else b""
            finally:
                os.close(descriptor)
        if len(data) != length:
            raise Damaged(f"{path} is cut: {length} bytes at {offset} are not all there.")
        return data

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        path = self._path(name)
        with storage_errors(path):
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError) as error:
                raise NotFound(f"There is no {name} in {self.root}.") from error
        return BlobInfo(name, status.st_size, status.st_mtime)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``."""
        folder, _, _ = prefix.rpartition("/")
        with storage_errors(self.root):
            yield from self._walk(self._path(folder) if folder else self.root, prefix)

    def _walk(self, folder: Path, prefix: str) -> Iterator[BlobInfo]:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            path = Path(entry.path)
            name = path.relative_to(self.root).as_posix()
            if entry.name.startswith(".") or not (name.startswith(prefix) or prefix.startswith(name + "/")):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path, prefix)
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:  # deleted since the folder was read
                continue
            yield BlobInfo(name, status.st_size, status.st_mtime)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs, durably."""
        paths = [self._path(name) for name in names]
        with Pool() as pool:  # the system takes its time for large files
            list(pool.map(_unlink, paths))
        for folder in {path.parent for path in paths}:
            with storage_errors(folder):
                if folder.is_dir():
                    flush_folder(folder)


def _move(source: Path, path: Path) -> None:
    """Give ``source`` the name ``path``; from another file system by way of a copy beside it, which is no blob yet."""
    try:
        source.rename(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(path, source.stat().st_size) as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy, 1 << 20)
        source.unlink()


def _unlink(path: Path) -> None:
    with storage_errors(path):
        path.unlink(missing_ok=True)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Up to ``length`` bytes; fewer only at the end of the file."""
    data = os.pread(descriptor, length, offset)
    if len(data) in (0, length):
        return data
    parts = [data]  # one call gives at most 2 GiB
    rest = length - len(data)
    while rest and (data := os.pread(descriptor, rest, offset + length - rest)):
        parts.append(data)
        rest -= len(data)
    return b"".join(parts)
