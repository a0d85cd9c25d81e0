"""Private folders for files on their way into a repository or out of it, and what dead processes left of them."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_ai.store.durable import make_folder, storage_errors

BRAND_NEW = 5.0
"""Seconds after which what its maker would have locked long ago, and is not locked, is such a leftover."""
PART = ".lepton-part"
_PART = re.compile(rf"\.[0-9a-f]{{16}}{re.escape(PART)}")
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Error numbers that say: nothing can be written here."""


class Staging:
    """Folders in ``place``; each stays locked while it is there, so that others see it in use, also from containers."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._locks: dict[Path, int] = {}
        self._release = weakref.finalize(self, _release, self._locks)

    def sweep(self) -> None:
        """Remove what killed processes left: plain weights may lie there."""
        sweep(self._place)

    def new(self) -> Path:
        """A new folder, which the caller removes; in the system's temporary folder when ``place`` is read-only.

        Raises:
            NoSpace, StorageFailed.
        """
        _release(self._locks, only_gone=True)
        with storage_errors(self._place):
            try:
                make_folder(self._place)
                self.sweep()
                folder = Path(tempfile.mkdtemp(prefix="staging-", dir=self._place))
            except OSError as problem:
                if problem.errno not in READ_ONLY:
                    raise
                folder = Path(tempfile.mkdtemp(prefix="lepton-ai-staging-"))
            self._locks[folder] = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            hold(self._locks[folder])
        return folder

    def close(self) -> None:
        """Let go of the locks: what is still there may be swept."""
        self._release()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._release.alive


def _release(locks: dict[Path, int], *, only_gone: bool = False) -> None:
    for folder in list(locks):
        if only_gone and folder.exists():
            continue
        descriptor = locks.pop(folder, None)
        if descriptor is not None:
            os.close(descriptor)


def sweep(place: Path, pattern: str = "staging-*") -> None:
    """Remove folders in ``place`` that nobody locks and that are not brand-new."""
    for folder in place.glob(pattern):
        with suppress(OSError):  # gone meanwhile, in use, or another user's
            if time.time() - folder.stat().st_mtime < BRAND_NEW:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def private(place: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``place``, by umask, removed at the end; before that, what killed processes left of the kind."""
    sweep(place, f"{prefix}*")
    folder = place / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        hold(descriptor)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def part_beside(place: Path) -> Path:
    """A new name for a file that takes the place of ``place`` when it is whole."""
    return place.with_name(f".{secrets.token_hex(8)}{PART}")


def hold(descriptor: int) -> None:
    """Lock an open file or folder, so that others see it in use."""
    with suppress(OSError):  # some network file systems have no locks: then it is never swept
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def sweep_parts(folder: Path) -> None:
    """Remove what killed processes left of :func:`part_beside` in ``folder``."""
    for left in folder.glob(f".*{PART}"):
        with suppress(OSError):  # gone meanwhile, in use, or another user's
            if not _PART.fullmatch(left.name) or time.time() - left.lstat().st_mtime < BRAND_NEW:
                continue
            if left.is_symlink():
                left.unlink()
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(descriptor)
