"""What SQLite and the file system complain about, said as our errors."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from lepton_ai.errors import Damaged, LeptonError, NoSpace, StorageFailed

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT,  # our rows keep every constraint, so what they met there does not
    sqlite3.SQLITE_ERROR,  # our statements are right, so the tables are not: "no such table: refs"
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_HARDLY_ANYTHING = 1 << 16
"""Free bytes under which an unexplained write error is taken for a full disk."""


def is_busy(problem: sqlite3.Error) -> bool:
    """Whether somebody else holds the database."""
    return _code(problem) in _BUSY


def explain(problem: sqlite3.Error | OSError | UnicodeDecodeError, path: Path) -> LeptonError:
    """The error to raise instead of ``problem``, which came up while working on ``path``."""
    if isinstance(problem, UnicodeDecodeError):  # of a text, or of SQLite's own words about a broken name
        return damaged(path, str(problem))
    if isinstance(problem, OSError):
        return full(path) if problem.errno in _FULL else refused(path, problem)
    code = _code(problem)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _nearly_full(path)):
        return full(path)
    if code in _DAMAGE or (code is None and "decode" in str(problem).lower()):
        return damaged(path, str(problem))
    return refused(path, problem)


def damaged(path: Path, what: str) -> Damaged:
    """The history is not what was saved, and what to do about it."""
    copies = path.parent / "backups"
    return Damaged(
        f"the history {path} is damaged: {what}",
        hint=f"put the file aside, then bring a copy back: lepton restore-backup, or one from {copies}",
    )


def full(path: Path) -> NoSpace:
    """There is no room beside ``path``."""
    return NoSpace(f"the disk with {path} is full; nothing was changed", hint="free some space, then repeat")


def refused(path: Path, problem: Exception) -> StorageFailed:
    """The file system said no."""
    return StorageFailed(
        f"the file system refused {path}: {problem}",
        hint="check that the folder exists and may be written by you, and that its disk is healthy",
    )


def _code(problem: sqlite3.Error) -> int | None:
    """SQLite's primary result code; the module's own complaints (undecodable text …) have none."""
    code: int | None = getattr(problem, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _nearly_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _HARDLY_ANYTHING
    except OSError:
        return False
