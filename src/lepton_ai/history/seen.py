"""Files that were read before and have not changed since, so that they need not be read again.

A file is the same when its path, size, times of modification and of change, inode and device are. Whoever changes a
file changes its time, but times have steps: one that was changed less than two seconds before it was read is read
again. The list is a cache: it may be lost, and the last of several writers wins.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

import msgspec

SMALLEST = 1 << 16
"""Bytes below which reading costs no more than asking."""

SETTLED = 2_000_000_000
"""Nanoseconds for which a file must have been left alone before it was read."""

MOST = 20_000
"""Files that are remembered at most."""


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was read: its bytes have the SHA-256 ``digest``. Times in nanoseconds since 1970."""

    size: int
    modified: int
    changed: int
    inode: int
    device: int
    read_at: int
    digest: bytes


class Seen:
    """The list of one repository, kept at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sights: dict[str, Sight] | None = None
        self._new: dict[str, Sight] = {}

    def digest(self, place: Path, stat: os.stat_result) -> bytes | None:
        """The SHA-256 of the file, when it is certain that it is what was read before."""
        if stat.st_size < SMALLEST:
            return None
        sight = self._known().get(_name(place))
        if sight is None or _sight(stat, sight.read_at, sight.digest) != sight:
            return None
        quiet = sight.read_at - max(sight.modified, sight.changed)
        return sight.digest if quiet >= SETTLED and sight.read_at <= time.time_ns() else None

    def add(self, place: Path, stat: os.stat_result, read_at: int, digest: bytes) -> None:
        """Remember a file that was as ``stat`` says before and after it was read; reading began at ``read_at``."""
        if stat.st_size >= SMALLEST:
            self._new[_name(place)] = _sight(stat, read_at, digest)

    def store(self) -> None:
        """Write the list. That it cannot be written does no harm."""
        if not self._new:
            return
        sights = {**self._known(), **self._new}
        newest = sorted(sights.items(), key=lambda item: item[1].read_at)[-MOST:]
        temporary = self._path.with_name(f"{self._path.name}-{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(msgspec.msgpack.encode(dict(newest)))
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _known(self) -> dict[str, Sight]:
        if self._sights is None:
            try:
                self._sights = msgspec.msgpack.decode(self._path.read_bytes(), type=dict[str, Sight])
            except (
                OSError,
                msgspec.DecodeError,
                msgspec.ValidationError,
            ):  # none yet, or torn: it is only a cache
                self._sights = {}
        return self._sights


def _name(place: Path) -> str:
    return os.fsdecode(place.absolute())


def _sight(stat: os.stat_result, read_at: int, digest: bytes) -> Sight:
    times = (stat.st_mtime_ns, stat.st_ctime_ns)
    return Sight(stat.st_size, *times, stat.st_ino, stat.st_dev, read_at, digest)
