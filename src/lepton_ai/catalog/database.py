"""The database of a server: SQLite for one, PostgreSQL or MySQL / MariaDB for a team."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from sqlalchemy import exc
from sqlalchemy.engine import Connection

from lepton_ai.catalog import addresses, backups, connecting, failures, migrating
from lepton_ai.history.refs.contract import Commit

T = TypeVar("T")
Hook = Callable[[Connection, int, Commit], None]
"""Called with (connection, repository's number, commit) inside the transaction of every commit to a history."""

TRIES = 8
_LONGEST_WAIT = 10.0


class Catalog:
    """The database at ``url``: ``sqlite:////folder/catalog.db``, ``postgresql://…``, ``mysql://…``, ``mariadb://…``.

    ``timeout`` is how many seconds a call waits for others; ``backups`` the folder for copies before migrations
    (beside an SQLite file by default). Threads share an object; forked children go on with connections of their own.

    Raises (here and from every transaction):
        UsageError: the address cannot be read.
        Busy, NoSpace, StorageFailed, Damaged, TooNew: never an error of a driver, never with a password in it.
    """

    def __init__(
        self, url: str, *, timeout: float = 30.0, connections: int = 30, backups: Path | None = None
    ) -> None:
        self.url = addresses.parse(url)
        self.where = addresses.shown(self.url)
        self.hooks: list[Hook] = []
        self._backups = backups
        with self._explained():
            self.engine = connecting.engine(self.url, timeout=timeout, connections=connections)
        _ALL.add(self)

    def migrate(self) -> None:
        """Bring the tables to the newest form, step by step, keeping a copy of what was there before each step.

        Several servers may do it at once: one does, the others wait.

        Raises:
            TooNew: a later version of this tool has changed the database.
            Damaged: the tables are another program's.
        """
        with self._explained():
            migrating.bring_up_to_date(
                self.engine, lambda now, step: backups.keep(self.engine, self._backups, now, step)
            )

    def check(self) -> None:
        """See that the database answers and has the tables that this program knows.

        Raises:
            TooNew: a later version of this tool has changed it.
            Unsupported: an earlier one has; ``migrate`` is to be called.
        """
        with self._explained():
            migrating.check(self.engine)

    def restore(self, folder: Path) -> None:
        """Fill this database, which is empty, from a copy that ``migrate`` kept of a PostgreSQL or MySQL one.

        It has the form of that time then; ``migrate`` brings it up to date.

        Raises:
            AlreadyExists: there is something in it.
            Damaged: the copy is not as it was written.
        """
        with self._explained():
            backups.restore(self.engine, folder)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state, whatever others commit meanwhile."""
        shared = _SHARED.get()
        if shared is not None and shared[0] is self:
            with self._explained():
                yield shared[1]
            return
        with self._explained(), connecting.reading(self.engine) as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let everything that this thread reads in the block be read in one transaction: of one state, and quicker.

        Nothing may be written in it: an SQLite database would wait for its own reader.
        """
        with self.reading() as connection:
            before = _SHARED.set((self, connection))
            try:
                yield
            finally:
                _SHARED.reset(before)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write: durable after the block, undone when an error leaves it.

        A deadlock is Busy here, because a block cannot be repeated: :meth:`write` does so by itself.
        """
        self._refuse_at_once()
        with self._explained(), connecting.writing(self.engine) as connection:
            yield connection
            self._commit(connection)

    def write(
        self, act: Callable[[Connection], T], happened: Callable[[Connection], bool] | None = None
    ) -> T:
        """``act`` in a transaction that may write, once more when the database undid it for the sake of another one.

        ``happened`` tells, on a new connection, whether the last try counts although its answer never came; without
        it, that is an error. ``act`` runs several times, so it must have no effect but through its connection.
        """
        self._refuse_at_once()
        for turn in range(TRIES):
            try:
                with connecting.writing(self.engine) as connection:
                    result = act(connection)
                    self._commit(connection)
                    return result
            except _Unknown as problem:
                if happened is None or not self._find_out(happened):
                    if happened is None:
                        raise failures.unknown_outcome(self.where) from problem
                    continue
                return result
            except exc.SQLAlchemyError as problem:
                again = failures.is_deadlock(problem) or failures.is_lost(problem)
                if not again or turn == TRIES - 1:
                    raise failures.explain(problem, self.where) from problem
                time.sleep(random.uniform(0.5, 1.5) * 0.02 * 2**turn)  # noqa: S311  (not a secret)
        raise failures.unknown_outcome(self.where)

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()

    def start_afresh(self) -> None:
        """In the child of a fork: leave the parent's connections alone, open own ones."""
        self.engine.dispose(close=False)

    def _refuse_at_once(self) -> None:
        shared = _SHARED.get()
        if shared is not None and shared[0] is self:
            raise AssertionError("nothing is written while all is read at once")

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except exc.DBAPIError as problem:
            connection.invalidate()  # SQLite's transaction outlives a commit that was refused: nobody may get it
            if failures.is_lost(problem):
                raise _Unknown from problem
            raise

    def _find_out(self, happened: Callable[[Connection], bool]) -> bool:
        """Ask until the database answers; a restart takes seconds."""
        end = time.monotonic() + _LONGEST_WAIT
        while True:
            try:
                with connecting.writing(self.engine) as connection:
                    return happened(connection)
            except exc.SQLAlchemyError as problem:
                if time.monotonic() > end:
                    raise failures.unknown_outcome(self.where) from problem
                time.sleep(0.2)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _Unknown as problem:
            raise failures.unknown_outcome(self.where) from problem
        except exc.SQLAlchemyError as problem:
            raise failures.explain(problem, self.where) from problem


class _Unknown(Exception):
    """The connection broke while a commit was under way."""


_ALL: weakref.WeakSet[Catalog] = weakref.WeakSet()
_SHARED: ContextVar[tuple[Catalog, Connection] | None] = ContextVar("shared", default=None)
"""The transaction in which all is read, while a block of :meth:`Catalog.at_once` lasts."""


def _after_in_child() -> None:
    for catalog in list(_ALL):
        catalog.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
