"""Connections and transactions of each kind of database, so that above them all are alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine

_BEGIN = "lepton_ai_begin"
_SQLITE = (
    "PRAGMA journal_mode = PERSIST",  # the reasons are those of history/refs/database.py
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA journal_size_limit = 65536",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -16384",
    "PRAGMA mmap_size = 0",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)


def engine(url: URL, *, timeout: float, connections: int) -> Engine:
    """Connections to ``url``, at most ``connections`` at once; none is opened yet."""
    family = url.get_backend_name()
    arguments: dict[str, Any] = {}
    if family == "sqlite":
        arguments = {"timeout": timeout, "check_same_thread": False}
    elif not {"connect_timeout", "service"} & set(url.query):
        arguments = {"connect_timeout": 10}
    if family == "postgresql":
        # PostgreSQL may keep one plan of a prepared statement for all values, and repositories differ in size by
        # thousands of times. (A precaution: what it costs or saves was not measured.) And whoever pools
        # transactions need not know of prepared statements.
        arguments["prepare_threshold"] = None
    kept = max(1, connections // 3)
    made = create_engine(
        url,
        connect_args=arguments,
        pool_pre_ping=family != "sqlite",
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=timeout,
        pool_recycle=1800,
        hide_parameters=True,  # values of statements would end in errors and logs
    )
    event.listen(made, "connect", _preparing(family, timeout))
    if family == "sqlite":
        event.listen(made, "begin", _begin_sqlite)
    return made


@contextmanager
def reading(made: Engine) -> Iterator[Connection]:
    """A transaction that sees one state and writes nothing."""
    options: dict[str, Any] = {}
    if made.dialect.name == "postgresql":  # MySQL's sessions are so from the beginning, see below
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with made.connect() as connection:
        connection.execution_options(**options)
        with connection.begin():
            yield connection


@contextmanager
def writing(made: Engine) -> Iterator[Connection]:
    """A transaction that may write. Whoever leaves it without having called ``commit`` undoes it."""
    with made.connect() as connection:
        if made.dialect.name == "sqlite":
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        connection.begin()
        if made.dialect.name in {"mysql", "mariadb"}:
            # Gaps between rows are not locked then, so neighbours in an index do not meet.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield connection


def _preparing(family: str, timeout: float) -> Any:
    """What every new connection is told."""
    milliseconds, seconds = int(timeout * 1000), max(1, int(timeout))
    statements = {
        "sqlite": _SQLITE,
        "postgresql": (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            f"SET lock_timeout = {milliseconds}",
        ),
    }.get(
        family,
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET SESSION sql_mode = 'TRADITIONAL'",  # what does not fit is an error, never cut
            f"SET SESSION innodb_lock_wait_timeout = {seconds}",
        ),
    )

    def prepare(connection: Any, _record: Any) -> None:
        if family == "sqlite":
            connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        if family != "sqlite":
            connection.commit()

    return prepare


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE for writers: a reader that turns writer later would be refused at once, however long it may wait.
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
