"""How a file looks from outside, and when equal looks prove equal bytes.

A writer moves a file's times when it begins to write: a ``write`` before its bytes are copied, a shared mapping when it
first touches a page. What it writes after that need not move them again: the same page, or the rest of one long
``write``. So times prove nothing while anybody has the file open for writing. The kernel tells whether somebody has: it
grants a read lease only on files that nobody can write, mappings of closed files included. From a moment with a lease
on, whatever writes must open the file anew, and shows. (docs/decisions/0011)
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import sys
import time
from functools import cached_property
from pathlib import Path

import msgspec

KINDS = frozenset({"ext4", "xfs", "btrfs"})
"""File systems whose times move with every new writer; on tmpfs, and who knows where, mappings move none."""

SETTLED = 100_000_000
"""Nanoseconds that a file was left alone, so that a change from now on has another time: ten ticks of a slow clock."""

SECOND = 1_000_000_000
_COARSE = 5
"""CLOCK_REALTIME_COARSE: it goes on by ticks, of 1 to 10 milliseconds."""
_PATIENCE = 50
"""Milliseconds."""
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """How a file looks: size in bytes, times in nanoseconds since 1970."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def look(descriptor: int) -> Sight:
    """How an open file looks now."""
    found = os.fstat(descriptor)
    return Sight(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def boot() -> str:
    """What names the time since the machine was started; "" where it has no name.

    After a power cut a file may have new bytes and old times: looks are compared within one such time only.
    """
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return ""


def pass_by(moment: int) -> bool:
    """Wait until the clock that files get their times from shows more than ``moment``: a few milliseconds after now.

    False where there is no such clock, or ``moment`` lies ahead.
    """
    if sys.platform != "linux":
        return False
    for _ in range(_PATIENCE):
        if time.clock_gettime_ns(_COARSE) > moment:
            return True
        time.sleep(0.001)
    return False


class Watch:
    """Judges looks. The table of mounts is read once: make a new one for every save."""

    def lasting(self, descriptor: int, *, passed: bool = False) -> Sight | None:
        """How an open file looks, if whatever changes its bytes from now on changes its look; else None.

        ``passed``: the clock has gone on since its times, see :func:`pass_by`.
        """
        now = time.time_ns()
        try:
            if self._kind(descriptor) not in KINDS or not _unwritten(descriptor):
                return None
        except OSError:  # no lease on a stranger's file, or not here at all: nothing is certain
            return None
        found = look(descriptor)  # after the lease: what was written before it shows in this look
        settled = passed or max(found.modified, found.changed) <= now - SETTLED
        fine = found.changed % SECOND != 0  # else its times may have steps of a second
        return found if settled and fine and stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def _kind(self, descriptor: int) -> str:
        """The kind of file system that an open file is on; "" when nothing says."""
        for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "mnt_id":
                return self._kinds.get(value.strip(), "")
        return ""

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The kind of file system of every mount, by its number."""
        kinds = {}
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
            mount, _, source = line.partition(b" - ")
            kinds[os.fsdecode(mount.split()[0])] = os.fsdecode(source.split()[0])
        return kinds


def _unwritten(descriptor: int) -> bool:
    """Whether nobody has the file open for writing, or mapped so; ``descriptor`` must be open for reading only.

    Raises:
        OSError: nobody can tell.
    """
    if sys.platform != "linux":
        return False
    # Whoever opens the file for writing in the microseconds between waits, and we get a signal: one that nobody heeds.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
