"""A note beside the database that says who is writing, so that whoever waits in vain can be told.

The note decides nothing: SQLite's own locks do. It may be missing, cut short or left by a dead process,
it is never waited for, and an error in keeping it is no error of the history.
"""

from __future__ import annotations

import functools
import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Busy

_LENGTH = 1024
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Holder(msgspec.Struct, frozen=True):
    """A process that writes; ``since`` in seconds since 1970."""

    pid: int
    host: str
    user: str
    command: str
    since: float

    def __str__(self) -> str:
        where = "" if self.host == _host() else f" on {self.host}"
        form = "%H:%M:%S" if abs(time.time() - self.since) < 43_200 else "%Y-%m-%d %H:%M:%S"
        since = time.strftime(form, time.localtime(self.since))
        return f"process {self.pid}{where} ({self.command}, user {self.user}) has held it since {since}"


class Note:
    """The note beside one database: ``history.db.holder``."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".holder")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Say that this process writes, for as long as the block takes."""
        holder = Holder(os.getpid(), _host(), _user(), _command(), time.time())
        said = msgspec.json.encode(holder).ljust(_LENGTH)
        file = self._write(said)
        try:
            yield
        finally:
            if file is not None:
                _take_back(file, said)

    def busy(self, waited: float) -> Busy:
        """The error for having waited so many seconds in vain."""
        return Busy(
            f"the history {self._database} is busy: {self._who()}; waited {waited:g} s",
            hint="let it finish, or end it, then repeat",
        )

    def holder(self) -> Holder | None:
        """Who writes, if the note says so and does not come from a dead process."""
        try:
            with self._path.open("rb") as file:
                said = msgspec.json.decode(file.read(_LENGTH), type=ready(Holder))
        except (OSError, msgspec.DecodeError):
            return None
        return said if said.host != _host() or _lives(said.pid) else None

    def _who(self) -> str:
        holder = self.holder()
        if holder is None:
            return "another process holds it"
        return f"this very {holder}" if holder.pid == os.getpid() and holder.host == _host() else str(holder)

    def _write(self, said: bytes) -> int | None:
        """Write the note in place (a file cut and grown again would cost the commit an allocation)."""
        try:
            file = os.open(self._path, _FLAGS, 0o666)
        except OSError:  # a note that cannot be kept is not worth a save
            return None
        with suppress(OSError):
            os.write(file, said)
        return file


def _take_back(file: int, said: bytes) -> None:
    """Blank the note, unless the next writer has its own there already."""
    try:
        os.lseek(file, 0, os.SEEK_SET)
        if os.read(file, _LENGTH) == said:
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, b" " * _LENGTH)
    except OSError:
        return
    finally:
        os.close(file)


def _lives(pid: int) -> bool:
    if os.name != "posix" or pid <= 0:
        return True  # asking would end the process on Windows, and mean a group here
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@functools.cache
def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "this computer")


@functools.cache
def _user() -> str:
    try:
        return _readable(getpass.getuser())
    except (OSError, KeyError, ImportError):  # an account without a name, as in containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


@functools.cache
def _command() -> str:
    """The program, and its first word when that is a command of ours. No more: arguments may be secrets."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    word = sys.argv[1] if program == "lepton" and len(sys.argv) > 1 else ""
    return _readable(f"{program} {word}" if word.replace("-", "").isalpha() and word[0] != "-" else program)


def _readable(text: str) -> str:
    """``text`` as one short line of valid Unicode."""
    return " ".join(text.encode(errors="replace").decode().split())[:60]
