"""The embedded history: one SQLite file that any number of processes and threads read and write."""

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.errors import AlreadyExists, Damaged
from lepton_ai.history.refs import checks, copies, rows, rules
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, LogEntry, Move, Ref, VersionRow
from lepton_ai.history.refs.database import Database

_LAST = (1 << 63) - 1
_NO_LIMIT = -1
_NO_END = b""
"""Greater than every text: SQLite orders blobs after texts."""


class SqliteHistory:
    """The history in the file ``path``, made when it is missing unless ``create`` is False.

    ``timeout`` is how many seconds a call waits for others before it raises Busy. Every call is one
    transaction; what a commit wrote is on the disk when it returns. Threads may share an object, and forked
    children go on with theirs. In a process that uses it, nothing but SQLite may open the file: closing any
    other handle on it drops the process's locks (POSIX has it so).

    Raises:
        Busy, NoSpace, StorageFailed, Damaged, TooNew.
    """

    def __init__(self, path: Path, *, timeout: float = 30.0, create: bool = True) -> None:
        self._database = Database(path, timeout=timeout, create=create)

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """The refs of ``keys`` that exist, read in one snapshot."""
        for key in keys:
            rules.check_key(key)
        with self._database.reading() as db:
            found = [db.execute(rows.REF, (key,)).fetchone() for key in set(keys)]
        return {row[0]: rows.read(Ref, row) for row in found if row}

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Refs whose key starts with ``prefix`` and is greater than ``after``, in key order (code points)."""
        rules.check_range(prefix, limit)
        rules.check_range(after, limit)
        sign, start = (">", after) if after >= prefix else (">=", prefix)
        end = rules.above(prefix)
        with self._database.reading() as db:
            found = db.execute(
                f"SELECT key, value, stamp FROM refs WHERE key {sign} ? AND key < ? ORDER BY key LIMIT ?",  # noqa: S608  (one of two signs)
                (start, _NO_END if end is None else end, _NO_LIMIT if limit is None else limit),
            )
            return [rows.read(Ref, row) for row in found]

    def commit(self, change: Commit) -> None:
        """Apply ``change`` wholly, durably, or not at all.

        Raises:
            LostRace: a stamp is not the expected one; says which key.
            Busy: another process held the history until the timeout; names it where it can.
            NoSpace, StorageFailed: the disk refused.
            UsageError: the change breaks the rules for keys and rows.
        """
        rules.check_commit(change)
        with self._database.writing() as db:
            for key, stamp in change.checks.items():
                _expect(db, key, stamp)
            before = [_expect(db, move.key, move.expected) for move in change.moves]
            for version in change.versions:
                db.execute(rows.INSERT_VERSION, rows.write_version(version))
            for content in change.contents:
                db.execute(rows.PUT_CONTENT, (content.sha256, content.size, content.stored, content.manifest))
            for known in change.sizes:
                db.execute(rows.SET_STORED, (known.stored, known.sha256, known.manifest))
            if change.moves:
                _apply_moves(db, change, before)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Moves of refs whose key starts with ``prefix``, newest first; ``before`` continues a page."""
        rules.check_range(prefix, limit)
        end = _LAST if before is None else min(before, _LAST)
        with self._database.reading() as db:
            if not prefix:
                found = db.execute(rows.LOG, (end, _NO_LIMIT if limit is None else limit))
                return [rows.read(LogEntry, row) for row in found]
            lines = [_log_under(db, place, end) for place in _log_places(db, prefix)]
            newest = heapq.merge(*lines, key=lambda row: row[0], reverse=True)
            return [rows.read(LogEntry, row) for row in itertools.islice(newest, limit)]

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""
        with self._database.reading() as db:
            found = [db.execute(rows.VERSION_BY_ID, (one,)).fetchone() for one in set(ids)]
        return {row[0]: rows.read_version(row) for row in found if row}

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """All revisions of each version, in order; versions without any are left out."""
        with self._database.reading() as db:
            found = {first: db.execute(rows.REVISIONS, (first,)).fetchall() for first in firsts}
        return {first: [rows.read_version(row) for row in each] for first, each in found.items() if each}

    def named(self, name: str) -> list[VersionRow]:
        """First revisions of every version called ``name``, on any branch, oldest first."""
        rules.check_range(name, None)
        with self._database.reading() as db:
            return [rows.read_version(row) for row in db.execute(rows.NAMED, (name,))]

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Ids whose lower-case hexadecimal form starts with ``prefix``, in order."""
        rules.check_range("", limit)
        ends = rules.hex_range(prefix)
        if ends is None:
            return []
        with self._database.reading() as db:
            found = db.execute(
                "SELECT id FROM versions WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (*ends, limit)
            )
            return [rows.read_id(row[0]) for row in found]

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """First revisions with their sequence numbers, newest first; ``before`` continues a page."""
        rules.check_range("", limit)
        end = _LAST if before is None else min(before, _LAST)
        with self._database.reading() as db:
            found = db.execute(rows.PAGE, (end, _NO_LIMIT if limit is None else limit))
            return [(row[-1], rows.read_version(row[:-1])) for row in found]

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Where the files with these SHA-256 digests are, as far as they are kept."""
        wanted = set(digests)
        with self._database.reading() as db:
            found = [db.execute(rows.CONTENT, (digest,)).fetchone() for digest in wanted]
        return {row[0]: rows.read(ContentRow, row) for row in found if row}

    def copy_to(self, path: Path) -> None:
        """Write a verified copy of the history as it is now to the new file ``path``, while others go on.

        Raises:
            AlreadyExists: there is something at ``path``.
            NoSpace, StorageFailed, Damaged, Busy.
        """
        if path.exists():
            raise AlreadyExists(f"there is a file {path} already", hint="choose another name for the copy")
        with self._database.reading() as db:
            db.execute(
                "SELECT count(*) FROM counter"
            ).fetchone()  # the state as of now, held until the copy is done
            copies.copy(db, self._database.path, path)

    def integrity(self) -> list[str]:
        """Read everything and tell what is wrong with it, in plain words; nothing when all is well."""
        try:
            with self._database.reading() as db:
                return checks.problems(db)
        except Damaged as problem:
            return [problem.message]

    def close(self) -> None:
        """Let go of files and connections."""
        self._database.close()


def _expect(db: sqlite3.Connection, key: str, stamp: int) -> bytes | None:
    """The key's value now, provided that its stamp is ``stamp``."""
    row: tuple[str, bytes, int] | None = db.execute(rows.REF, (key,)).fetchone()
    if (row[2] if row else ABSENT) != stamp:
        raise rules.lost(key)
    return row[1] if row else None


def _apply_moves(db: sqlite3.Connection, change: Commit, before: list[bytes | None]) -> None:
    """Write and log the moves; ``before`` are the values that they replace."""
    db.execute("UPDATE counter SET stamp = stamp + 1")
    stamp: int = db.execute("SELECT stamp FROM counter").fetchone()[0]
    for move, old in zip(change.moves, before, strict=True):
        if move.value is None:
            db.execute("DELETE FROM refs WHERE key = ?", (move.key,))
        else:
            db.execute(rows.PUT_REF, (move.key, move.value, stamp))
        if move.logged:
            _log_move(db, change, move, old, stamp)


def _log_move(db: sqlite3.Connection, change: Commit, move: Move, old: bytes | None, stamp: int) -> None:
    said = (rules.moment(change), change.actor, change.act, change.why)
    number = db.execute(rows.INSERT_LOG, (stamp, *said, move.key, old, move.value)).lastrowid
    db.executemany(
        "INSERT INTO log_under (prefix, number) VALUES (?, ?)",
        [(place, number) for place in rules.folders(move.key)],
    )


def _log_places(db: sqlite3.Connection, prefix: str) -> Iterator[str]:
    """The fewest places in ``log_under`` that hold every move below ``prefix``, each found with one look.

    A prefix that ends with ``/`` is one place; ``branch/ma`` may be ``branch/main``, ``branch/main/`` and
    ``branch/map``.
    """
    end = rules.above(prefix)
    start = prefix
    while True:
        found = db.execute(
            "SELECT prefix FROM log_under WHERE prefix >= ? AND prefix < ? ORDER BY prefix LIMIT 1",
            (start, _NO_END if end is None else end),
        ).fetchone()
        if found is None:
            return
        place: str = found[0]
        if place < start:
            raise rows.disordered("log_under")  # and this would never end
        yield place
        after = rules.above(place) if place.endswith("/") else place + "\0"
        if after is None:
            return
        start = after


def _log_under(db: sqlite3.Connection, place: str, end: int) -> Iterator[tuple[Any, ...]]:
    """Log rows of one place, newest first, each read when it is asked for."""
    while row := db.execute(rows.LOG_UNDER, (place, end)).fetchone():
        if row[0] >= end:
            raise rows.disordered("log")
        yield row
        end = row[0]
