"""Files that survive a power cut: written aside, flushed, renamed, and their folder flushed too."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lepton_ai.errors import AlreadyExists, InfrastructureError, NoSpace, StorageFailed


@contextmanager
def storage_errors(place: Path | str, needed: int = 0) -> Iterator[None]:
    """Turn the operating system's errors into ours; ``needed`` is how many bytes were to be written.

    Raises:
        NoSpace, StorageFailed.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, place, needed) from error


def storage_error(error: OSError, place: Path | str, needed: int = 0) -> InfrastructureError:
    """Our error for an error of the operating system at ``place``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        wanted = f" {needed:,} bytes were to be written." if needed else ""
        return NoSpace(f"No space left in {place}.{wanted}", hint="free some space and repeat")
    return StorageFailed(f"{place}: {error.strerror or error}", hint="check the disk and its permissions")


def flush(descriptor: int) -> None:
    """Force a file's bytes to the medium (on macOS fsync alone leaves them in the drive's cache)."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make ``folder`` and its missing parents, durably; ``mode`` (before umask) is for those that are new."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            new.mkdir(mode)
        flush_folder(new.parent)


def write_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a small file as a whole, durably: afterwards it is the old one or the new one, never a part.

    Raises:
        NoSpace, StorageFailed.
    """
    with replacing(path, len(data), mode) as file:
        file.write(data)


def write_new_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a small file that nobody else may have made, not even at this moment, durably.

    Raises:
        AlreadyExists: there is something at ``path``.
        NoSpace, StorageFailed.
    """
    with storage_errors(path, len(data)):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError as error:
            raise AlreadyExists(f"{path} exists already", hint="name another file") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                flush(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


@contextmanager
def replacing(path: Path, size: int = 0, mode: int = 0o666, ending: str = ".tmp") -> Iterator[BinaryIO]:
    """A file for new bytes that takes the place of ``path`` when the block is done, durably; else nothing happens.

    ``size`` in bytes is for the error message; ``mode`` is before umask. A killed process leaves a hidden file beside
    ``path`` with this ``ending``.

    Raises:
        NoSpace, StorageFailed.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{ending}")
    with storage_errors(path, size):
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                flush(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
