"""Put what was made up into a database as fast as it takes it: the rows that so many commits would have left."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Boolean, Double, Table, insert, select, text
from sqlalchemy.engine import Connection

from benchmarks.catalog import leaving, making
from lepton_ai.catalog import dumps, people, search_index, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from lepton_ai.catalog.tables.types import Bytes, Words
from lepton_ai.wire import NewToken

BATCH = 5000
"""Versions between two commits."""
PASSWORD = "correct horse battery"  # of a person who is made up
_PARALLEL = 20_000
"""Fewer versions are not worth a second process."""


def fill(
    catalog: Catalog,
    repositories: int,
    versions: int,
    people_: int,
    told: Callable[[int], None] = lambda _: None,
) -> str:
    """Fill an empty catalog. The secret of a token is returned, to ask with."""
    secret = _fill_people(catalog, people_)
    with _without_indexes(catalog):
        if catalog.engine.dialect.name == "postgresql" and versions >= _PARALLEL:
            _in_processes(catalog, repositories, versions, people_, told)
        else:
            _part(catalog, repositories, versions, people_, range(repositories), told)
    with catalog.writing() as connection:
        for table in METADATA.sorted_tables:
            dumps.count_on(connection, table)
    if catalog.engine.dialect.name == "postgresql":
        with catalog.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    return secret


def check(catalog: Catalog, sizes: list[int]) -> None:
    """See that what was filled in is what commits write: the index, rebuilt from the refs, is the same."""
    number = min(range(1, len(sizes) + 1), key=lambda one: abs(sizes[one - 1] - 60))
    tables = [table for name, table in METADATA.tables.items() if name.startswith("search_")]

    def rows() -> list[list[tuple[Any, ...]]]:
        with catalog.reading() as connection:
            found = [
                connection.execute(select(table).where(table.c.repository == number)) for table in tables
            ]
            return [sorted(map(tuple, some), key=repr) for some in found]

    before = rows()
    assert search_index.rebuild(catalog, number) == sizes[number - 1]
    assert rows() == before, "the made-up index is not what the hook writes"


def _fill_people(catalog: Catalog, count: int) -> str:
    first = people.add_user(catalog, making.person(0), PASSWORD, admin=True)
    secret = tokens.make(catalog, first, NewToken("benchmark", ("read", "write"))).secret
    assert secret
    users = [
        {"name": making.person(number), "admin": False, "created_at": making.START, "created_by": making.person(0),
         "edition": 1, "password": "$argon2id$", "password_at": making.START}
        for number in range(1, count)
    ]  # fmt: skip
    kept = [
        {"id": f"{number:016x}", "owner": number % count + 1, "name": "laptop", "scopes": "read write",
         "hash": bytes(32), "created_at": making.START, "expires_at": 1 << 60}
        for number in range(3 * count)
    ]  # fmt: skip
    with catalog.writing() as connection:
        connection.execute(insert(METADATA.tables["users"]), users)
        connection.execute(insert(METADATA.tables["tokens"]), kept)
    return secret


@contextmanager
def _without_indexes(catalog: Catalog) -> Iterator[None]:
    """PostgreSQL: without those beside the primary keys, which are built afterwards, sorted."""
    if catalog.engine.dialect.name != "postgresql":
        yield
        return
    query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT IN "
        "(SELECT conname FROM pg_constraint) AND tablename = ANY(%(names)s)"
    )
    with catalog.writing() as connection:
        found = connection.exec_driver_sql(query, {"names": list(METADATA.tables)}).all()
        for name, _ in found:
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
    yield
    for _, definition in found:
        with catalog.writing() as connection:
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
            connection.exec_driver_sql(definition)


def _in_processes(
    catalog: Catalog, repositories: int, versions: int, people_: int, told: Callable[[int], None]
) -> None:
    """Every process fills a part of the repositories."""
    count = min(2, os.cpu_count() or 1)
    url = catalog.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    done = spawn.SimpleQueue()
    processes = [
        spawn.Process(target=_own_part, args=(url, repositories, versions, people_, part, count, done))
        for part in range(count)
    ]
    for process in processes:
        process.start()
    left, together = count, 0
    while left:
        some = done.get()
        left -= some is None
        together += some or 0
        told(together)
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes), "a process that filled in a part failed"


def _own_part(
    url: str, repositories: int, versions: int, people_: int, part: int, count: int, done: Any
) -> None:
    catalog = Catalog(url)
    before = 0

    def told(now: int) -> None:
        nonlocal before
        done.put(now - before)
        before = now

    try:
        _part(catalog, repositories, versions, people_, range(part, repositories, count), told)
    finally:
        catalog.close()
        done.put(None)


def _part(
    catalog: Catalog,
    repositories: int,
    versions: int,
    people_: int,
    those: range,
    told: Callable[[int], None],
) -> None:
    """Fill in the repositories whose places are ``those``."""
    sizes = making.sizes(repositories, versions)
    waiting: leaving.Rows = {}
    done = 0
    for place in those:
        line, count = making.Line(place + 1, people_), sizes[place]
        leaving.repository(waiting, line.repository, count)
        for _ in range(count):
            leaving.version(waiting, line, line.make(), count)
            done += 1
            if len(waiting.get("versions", ())) >= BATCH:
                _write(catalog, waiting)
                told(done)
        leaving.branch(waiting, line)
    _write(catalog, waiting)
    told(done)


def _write(catalog: Catalog, waiting: leaving.Rows) -> None:
    with catalog.writing() as connection:
        if connection.dialect.name == "postgresql":
            _hurry(connection)
        for table in METADATA.sorted_tables:
            rows = waiting.pop(table.name, None)
            if not rows:
                continue
            if connection.dialect.name == "postgresql":
                _copy(connection, table, rows)
            else:
                names = table.columns.keys()
                connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
    assert not waiting, f"no such table: {sorted(waiting)}"


def _hurry(connection: Connection) -> None:
    """No wait for the disk, and no look at every row's repository, as far as the user may."""
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    if connection.execute(text("SHOW is_superuser")).scalar() == "on":
        connection.execute(text("SET LOCAL session_replication_role = replica"))


def _copy(connection: Any, table: Table, rows: list[tuple[Any, ...]]) -> None:
    names = table.columns.keys()
    kinds = [_kind(column.type) for column in table.columns]
    texts = [place for place, column in enumerate(table.columns) if isinstance(column.type, Words)]
    listed = ", ".join(f'"{name}"' for name in names)
    with connection.connection.driver_connection.cursor() as cursor:  # noqa: SIM117  (one after the other)
        with cursor.copy(f'COPY "{table.name}" ({listed}) FROM STDIN (FORMAT BINARY)') as copy:
            copy.set_types(kinds)
            for row in rows:
                values = list(row)
                for place in texts:
                    values[place] = values[place].encode()
                copy.write_row(values)


def _kind(kind: Any) -> str:
    if isinstance(kind, Bytes | Words):
        return "bytea"
    return "bool" if isinstance(kind, Boolean) else "float8" if isinstance(kind, Double) else "int8"
