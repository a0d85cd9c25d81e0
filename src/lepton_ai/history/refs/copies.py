"""Verified, durable copies of a database that others may be using."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from lepton_ai.history.refs import failures

if sys.platform == "darwin":
    import fcntl

ENDING = ".partial"


def copy(source: sqlite3.Connection, origin: Path, target: Path) -> None:
    """Copy the database of ``source``, which is in a transaction that only reads, to ``target``, durably.

    ``target`` appears only when the copy is whole, checked and on the disk; a killed copy leaves a file that
    ends in ``.partial``.

    Raises:
        Damaged: the copy, and so ``origin``, is not sound.
        NoSpace, StorageFailed: the disk of ``target`` refused.
    """
    partial = target.with_name(f"{target.name}.{os.urandom(4).hex()}{ENDING}")
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as made:
            # Nobody knows this file yet: it needs no journal, and is synced as a whole below.
            made.execute("PRAGMA journal_mode = MEMORY")
            made.execute("PRAGMA synchronous = OFF")
            source.backup(made)
            _verify(made, source, origin)
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except (sqlite3.Error, OSError) as problem:
        raise failures.explain(problem, target) from problem
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk when this returns."""
    if path.is_dir() and os.name != "posix":
        return  # Windows has no handle on folders; its renames are journalled
    file = os.open(path, os.O_RDONLY)
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's own cache
        else:
            os.fsync(file)
    finally:
        os.close(file)


def _verify(made: sqlite3.Connection, source: sqlite3.Connection, origin: Path) -> None:
    found = made.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise failures.damaged(origin, found)
    versions = [db.execute("PRAGMA user_version").fetchone()[0] for db in (made, source)]
    if versions[0] != versions[1]:
        raise failures.damaged(origin, f"a copy of version {versions[1]} came out as {versions[0]}")
