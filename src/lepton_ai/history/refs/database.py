"""One SQLite file for many threads and processes: open, transactions, plain errors, forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.errors import Busy, LeptonError, StorageFailed, UsageError
from lepton_ai.history.refs import failures, schema
from lepton_ai.history.refs.holder import Note

_PRAGMAS = (
    "PRAGMA page_size = 1024",  # of a new file: a young history has a dozen tables of a few rows each
    # A zeroed journal header, synced, ends a transaction: durable when COMMIT returns. Removing the journal
    # (mode DELETE) would need one more sync of the folder, which synchronous = FULL leaves out.
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS: through the drive's cache
    "PRAGMA journal_size_limit = 8192",  # what a small commit needs; cut after that sync, so nothing depends on it
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -4096",
    "PRAGMA mmap_size = 0",  # a mapped file that is cut under us would kill the process
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)
_LONGEST_FORK = 60.0


class Database:
    """A connection that one thread uses at a time. Makes a missing file unless ``create`` is False.

    Raises (here and from every transaction):
        Busy, NoSpace, StorageFailed, Damaged, TooNew: never an error of sqlite3.
        UsageError: it was closed.
    """

    def __init__(self, path: Path, *, timeout: float, create: bool) -> None:
        self.path = path
        self._timeout = timeout
        self._create = create
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._note = Note(path)
        _ALL.add(self)
        with self._alone():
            pass

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state, whatever others commit meanwhile."""
        with self._alone() as db:
            db.execute("BEGIN")
            schema.known_version(db, self.path)  # a newer program may have come since it was opened
            yield db
            db.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The one transaction that may write: durable after the block, undone when an error leaves it."""
        with self._alone() as db:
            # IMMEDIATE: a reader that turns writer later would be refused at once, however long it may wait.
            db.execute("BEGIN IMMEDIATE")
            with self._note.kept():
                schema.known_version(db, self.path)
                yield db
                self._commit(db)

    def close(self) -> None:
        """Let go of the file. Calling it twice is fine."""
        with self._lock:
            self._closed = True
            self._let_go()

    def pause(self) -> bool:
        """Wait until no thread is in a transaction, and keep it so (around a fork)."""
        return self._lock.acquire(timeout=_LONGEST_FORK)

    def resume(self) -> None:
        """Let threads go on."""
        self._lock.release()

    def start_afresh(self) -> None:
        """In the child of a fork: leave the parent's connection alone, for ever; open an own one."""
        self._lock = threading.Lock()
        if self._connection is not None:
            _INHERITED.append(self._connection)  # not even closed: closing acts on files and locks
            self._connection = None

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread only; whatever it began and did not commit is undone at the end."""
        if not self._lock.acquire(timeout=self._timeout):
            raise Busy(
                f"the history {self.path} is busy: another thread of this process has kept it "
                f"for {self._timeout:g} s",
                hint="repeat later",
            )
        try:
            if self._closed:
                raise UsageError(f"the history {self.path} was closed", hint="open it again")
            if self._connection is None:
                self._connection = self._open()
                self._create = False  # a file that goes missing later is not made anew, empty
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except (sqlite3.Error, UnicodeDecodeError) as problem:
            raise self._explained(problem) from problem
        finally:
            self._lock.release()

    def _commit(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("COMMIT")
        except sqlite3.Error as problem:
            if not failures.is_busy(problem):
                raise
            raise Busy(
                f"the history {self.path} is busy: another process is reading it and has not finished for "
                f"{self._timeout:g} s",
                hint="let it finish, or end it, then repeat",
            ) from problem

    def _open(self) -> sqlite3.Connection:
        if not self._create and not self.path.exists():
            raise failures.damaged(self.path, "it is missing")
        address = self.path.absolute().as_uri() + ("?mode=rwc" if self._create else "?mode=rw")
        db = sqlite3.connect(
            address, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in _PRAGMAS:
                db.execute(pragma)
            self._use_journal(db)
            if not self._create:
                schema.refuse_empty(db, self.path)
            schema.bring_up_to_date(db, self.path, self._note)
        except BaseException:
            db.close()
            raise
        return db

    def _use_journal(self, db: sqlite3.Connection) -> None:
        mode = db.execute("PRAGMA journal_mode = PERSIST").fetchone()[0]
        if mode != "persist":
            raise StorageFailed(
                f"the history {self.path} is in journal mode {mode!r} and cannot leave it now",
                hint="close other programs that have it open, then repeat",
            )

    def _explained(self, problem: sqlite3.Error | UnicodeDecodeError) -> LeptonError:
        if isinstance(problem, sqlite3.Error) and failures.is_busy(problem):
            return self._note.busy(self._timeout)
        self._let_go()  # the next call finds out anew how the file is
        return failures.explain(problem, self.path)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_ALL: weakref.WeakSet[Database] = weakref.WeakSet()
_PAUSED: dict[int, list[Database]] = {}
_INHERITED: list[sqlite3.Connection] = []


def _before_fork() -> None:
    _PAUSED[threading.get_ident()] = [database for database in list(_ALL) if database.pause()]


def _after_in_parent() -> None:
    for database in _PAUSED.pop(threading.get_ident(), []):
        database.resume()


def _after_in_child() -> None:
    _PAUSED.clear()
    for database in list(_ALL):
        database.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
