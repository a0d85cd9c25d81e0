"""Bring a server's database to today's tables, step by step, keeping a copy of what was there before each step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, inspect, select
from sqlalchemy.engine import Connection, Engine

from lepton_ai.catalog import addresses, connecting
from lepton_ai.catalog.tables import METADATA
from lepton_ai.errors import Damaged, StorageFailed, TooNew, Unsupported

Keep = Callable[[str, str], object]
"""Called with (the form that the database has, the step that comes) to keep a copy."""
VERSION_TABLE = "lepton_ai_schema"
MARK = "lepton_ai_moving"
"""The table that says that a catalog is being moved here, and is not whole yet (:mod:`lepton_ai.catalog.moving`)."""
FOLDER = Path(__file__).parent / "migrations"
_VERSION = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
_LOCK = 0x4C41494D
_PATIENCE = 600
"""Seconds that a server waits for another one to finish: it copies everything before each step."""
_alone = threading.Lock()  # Alembic keeps what it works on in one global place


def steps() -> list[str]:
    """The numbers of the steps that this program knows, in order: those of the files in ``versions``."""
    return sorted(file.stem[1:5] for file in (FOLDER / "versions").glob("m[0-9]*.py"))


def step_of(connection: Connection) -> str:
    """The last step that the database has behind it; "" for none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(select(_VERSION.c.version_num)).scalar() or "")


def check(engine: Engine) -> None:
    """See that the database has exactly the tables that this program knows.

    Raises:
        TooNew, Unsupported (it is to be migrated).
    """
    with connecting.reading(engine) as connection:
        done = _known(engine, connection)
        _refuse_marked(engine, connection)
    if done != steps()[-1]:
        where = addresses.shown(engine.url)
        raise Unsupported(
            f"the database {where} has form {done or 'none'}; this version of lepton-ai needs {steps()[-1]}",
            hint="lepton server migrate brings it up to date (a copy is kept)",
        )


def bring_up_to_date(engine: Engine, keep: Keep, last: str | None = None) -> None:
    """Apply the steps that the database lacks, up to ``last``; only look when it lacks none.

    Each step is one transaction. (MySQL knows none for tables, so steps can be repeated there.) After a crash the next
    call goes on. ``keep`` is called before each step on a database that was not empty.

    Raises:
        TooNew: a later version of this tool has changed it.
        Damaged: its tables are another program's.
    """
    wanted = steps() if last is None else steps()[: steps().index(last) + 1]
    with connecting.reading(engine) as connection:
        _refuse_marked(engine, connection)
        done = _known(engine, connection)
    if done >= wanted[-1]:
        return
    with _alone, _only_one(engine):
        for step in wanted:
            with connecting.writing(engine) as connection:
                if _known(engine, connection) < step:
                    _apply(connection, keep if done else _nothing, step)
                connection.commit()


def _refuse_marked(engine: Engine, connection: Connection) -> None:
    if inspect(connection).has_table(MARK):
        raise Unsupported(
            f"a server's data is being moved into {addresses.shown(engine.url)}, and not all of it is there",
            hint="repeat the lepton server migrate-data that was not finished",
        )


def _known(engine: Engine, connection: Connection) -> str:
    done = step_of(connection)
    where = addresses.shown(engine.url)
    if done and done not in steps():
        raise TooNew(
            f"the database {where} has form {done}; this version of lepton-ai knows forms up to {steps()[-1]}",
            hint="use the newer lepton-ai that wrote it: pip install --upgrade lepton-ai",
        )
    if not done and not inspect(connection).has_table(VERSION_TABLE):
        others = sorted(set(inspect(connection).get_table_names()) & set(METADATA.tables))
        if others:
            raise Damaged(
                f"the database {where} has tables of another program: {', '.join(others)}",
                hint="give lepton-ai a database of its own",
            )
    return done


def _nothing(_now: str, _step: str) -> None:
    """Keep no copy: nobody has put anything in."""


def _apply(connection: Connection, keep: Keep, step: str) -> None:
    from alembic import command
    from alembic.config import Config

    if now := step_of(connection):
        keep(now, step)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
    command.upgrade(config, step)


@contextmanager
def _only_one(engine: Engine) -> Iterator[None]:
    """Keep other servers from migrating the same database. (On SQLite the step's transaction does.)"""
    if engine.dialect.name == "sqlite":
        yield
        return
    with engine.connect() as holder:
        holder.execution_options(isolation_level="AUTOCOMMIT")
        holder.detach()  # closed afterwards, and the lock with it, whatever happens
        if engine.dialect.name == "postgresql":
            holder.exec_driver_sql(f"SET lock_timeout = {_PATIENCE * 1000}")
            holder.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        else:
            got = holder.exec_driver_sql(
                f"SELECT GET_LOCK(CONCAT('lepton-ai/', MD5(DATABASE())), {_PATIENCE})"
            )
            if got.scalar() != 1:
                raise StorageFailed(
                    f"another server has been migrating {addresses.shown(engine.url)} for {_PATIENCE} s",
                    hint="see whether it still works, then repeat",
                )
        yield
