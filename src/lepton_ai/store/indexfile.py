"""The index's file: its tables, how it is opened, and how a broken one is replaced while others use it."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path

from blake3 import blake3

from lepton_ai.store.durable import make_folder, storage_errors

TIMEOUT = 30.0
"""Seconds to wait for another process."""

BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""SQLite's primary codes that say: this file is not the index that it should be."""

SCHEMA = 4

PAGE = 1024
"""Bytes of a page: a save changes few rows in many places, and small repositories have many small tables."""

_TABLES = (
    "CREATE TABLE state(owner TEXT NOT NULL, complete INTEGER NOT NULL, boot TEXT NOT NULL)",
    """CREATE TABLE packs(
        number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
        objects INTEGER NOT NULL, stored INTEGER NOT NULL, written_at REAL NOT NULL,
        damaged INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE objects(
        pack INTEGER NOT NULL, place INTEGER NOT NULL, id BLOB NOT NULL, length INTEGER NOT NULL,
        plain INTEGER NOT NULL, base BLOB, depth INTEGER NOT NULL, kind INTEGER NOT NULL,
        codec INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (pack, place)) WITHOUT ROWID""",
    "CREATE TABLE dropped(name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID",
    # The beginning of an id is enough to find it by; what is found is compared as a whole.
    "CREATE INDEX ids ON objects(substr(id, 1, 8))",
    "CREATE INDEX bases ON objects(substr(base, 1, 8), depth) WHERE base IS NOT NULL",
    """CREATE TABLE sketches(
        number INTEGER PRIMARY KEY, kind BLOB NOT NULL, place BLOB NOT NULL, seal INTEGER NOT NULL,
        key_id BLOB NOT NULL, body BLOB NOT NULL, sketch BLOB NOT NULL)""",
    "CREATE INDEX alike ON sketches(kind, place)",
)

MANY_FREE = 1024
"""Free pages from which on a file that consists mostly of them is made smaller."""


def owner_of(id_key: bytes) -> str:
    """Whose an index is, without telling the key."""
    return blake3(b"lepton-ai index", key=id_key).hexdigest(length=16)


def open_index(path: Path, owner: str) -> sqlite3.Connection:
    """Open the index of ``owner``; a new, foreign or outdated file becomes an empty one.

    Raises:
        sqlite3.Error: also when the file is no database.
        StorageFailed, NoSpace.
    """
    with storage_errors(path.parent):
        make_folder(path.parent)
    connection = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        if not _fits(connection, owner):
            _create(connection, owner)
        _hurry(connection, owner)
    except BaseException:
        connection.close()
        raise
    return connection


def _fits(connection: sqlite3.Connection, owner: str) -> bool:
    if _pragma(connection, "user_version") != SCHEMA:
        return False
    names = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    if connection.execute(names).fetchone()[0] != len(_TABLES):
        return False
    return bool(connection.execute("SELECT 1 FROM state WHERE owner = ?", (owner,)).fetchone())


def _hurry(connection: sqlite3.Connection, owner: str) -> None:
    """Write without waiting for the disk. After a power cut the file is looked through, and made anew if need be.

    Only a start of the machine can tell that there may have been one; where the system does not name its start, every
    transaction waits. What a killed process leaves behind is whole in any case.
    """
    boot = _boot()
    if not boot:
        return
    if connection.execute("SELECT boot FROM state").fetchone()[0] != boot:
        if not _is_whole(connection):
            _create(connection, owner, anew=True)
        try:
            connection.execute("UPDATE state SET boot = ?", (boot,))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
    connection.execute("PRAGMA synchronous = OFF")


def _is_whole(connection: sqlite3.Connection) -> bool:
    if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        return False
    by_pack = "SELECT pack, count(*) FROM objects GROUP BY pack"
    counted = dict(connection.execute(by_pack).fetchall())
    return all(counted.get(n, 0) == due for n, due in connection.execute("SELECT number, objects FROM packs"))


@cache
def _boot() -> str:
    """This start of the machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _create(connection: sqlite3.Connection, owner: str, *, anew: bool = False) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE}")  # of an empty file, or when it is packed

    def work() -> None:
        if not anew and _fits(connection, owner):  # somebody else did it while we waited
            return
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (name,) in connection.execute(tables).fetchall():
            connection.execute(f"DROP TABLE {_quoted(name)}")
        for table in _TABLES:
            connection.execute(table)
        connection.execute("INSERT INTO state VALUES (?, 0, ?)", (owner, _boot()))
        connection.execute(f"PRAGMA user_version = {SCHEMA}")

    within(connection, work)
    if _pragma(connection, "freelist_count") or _pragma(connection, "page_size") != PAGE:
        _vacuum(connection)


def pack_file(connection: sqlite3.Connection) -> None:
    """Make the file smaller when most of it is free."""
    free = _pragma(connection, "freelist_count")
    if free >= MANY_FREE and 2 * free >= _pragma(connection, "page_count"):
        _vacuum(connection)


def _vacuum(connection: sqlite3.Connection) -> None:
    """Write the file anew; when others use it just now, or there is no room, leave that to the next time."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
            sqlite3.SQLITE_FULL,
        ):
            raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(TIMEOUT * 1000)}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def replace_index(path: Path, owner: str) -> None:
    """Remove a file that is no good index, unless another process did so meanwhile.

    Whoever still has the old file open is told by SQLite when it next writes (SQLITE_READONLY_DBMOVED).
    """
    with path.with_name(path.name + ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection = open_index(path, owner)
            try:
                if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok":
                    return
            finally:
                connection.close()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in BROKEN:
                raise
        for end in ("", "-journal"):
            path.with_name(path.name + end).unlink(missing_ok=True)


def within(connection: sqlite3.Connection, work: Callable[[], object]) -> None:
    """Do ``work`` in a transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
