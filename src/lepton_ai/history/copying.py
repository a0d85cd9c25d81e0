"""Copying the files of a repository, durably: each appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from lepton_ai.errors import UsageError
from lepton_ai.progress import Progress
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.durable import make_folder, replacing, storage_errors
from lepton_ai.store.packs import reader

STEP = 4 << 20
PART = ".part"
"""How files end that a killed backup leaves."""
LOCK = "tmp/backup.lock"
"""What a backup locks in the repository that it writes to, from there."""


def packs(place: Path) -> dict[str, int]:
    """Every pack of the repository in ``place``: the file's name from there, and its size in bytes."""
    return {info.name: info.size for info in LocalBlobs(place).list("packs/")}


def whole(place: Path, name: str, progress: Progress) -> bool:
    """Whether the pack ``name`` of the repository in ``place`` is there, and what was written."""
    return reader.whole(LocalBlobs(place), name, progress)


def copy(source: Path, target: Path, progress: Progress) -> int | None:
    """Copy a file durably; it appears whole or not at all. Its size in bytes, or None when ``source`` is gone."""
    with storage_errors(source):
        try:
            reading = source.open("rb")
        except FileNotFoundError:
            return None
    size = 0
    with reading, storage_errors(target):
        make_folder(target.parent)
        with replacing(target, os.fstat(reading.fileno()).st_size, ending=PART) as writing:
            while part := reading.read(STEP):
                writing.write(part)
                size += len(part)
                progress.advance(len(part))
            os.fchmod(writing.fileno(), os.fstat(reading.fileno()).st_mode & 0o7777)
    return size


def copy_small(source: Path, target: Path, progress: Progress) -> None:
    """Copy keys and older histories, and make the folders that belong to a repository."""
    for folder in ("packs", "tmp", "keys", "backups"):
        make_folder(target / folder)
    for folder in ("keys", "backups"):
        for file in sorted((source / folder).glob("[!.]*")):
            if file.is_file():
                copy(file, target / folder / file.name, progress)


def copy_mode(source: Path, target: Path) -> None:
    """Let the same people read and write ``target``, and always us."""
    target.chmod(stat.S_IMODE(source.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)


def check_apart(place: Path, target: Path) -> None:
    """Refuse a target that is the repository in ``place``, or inside of ``place``, by whatever path.

    Raises:
        UsageError.
    """
    here = target.resolve()
    for folder in (here / place.name, here, *here.parents):
        if folder.exists() and folder.samefile(place):
            raise UsageError(
                f"{target} is the repository itself, or inside of it", hint="name a folder elsewhere"
            )


def try_lock(descriptor: int, how: int) -> bool:
    """Lock an open file, or say that locks are not to be had (False).

    Raises:
        BlockingIOError: somebody else has it.
    """
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        return False
    return True


def size(path: Path) -> int | None:
    """A file's size in bytes; None when there is none."""
    with storage_errors(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None
