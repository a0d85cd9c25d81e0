"""Everything in one catalog to another one, of whatever kind: resumable, and compared row by row before it counts.

Until then the new one is marked, and no server works with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Column, MetaData, Table, func, insert, inspect, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import dumps, migrating, walking
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from lepton_ai.catalog.tables.types import Words
from lepton_ai.errors import AlreadyExists, Damaged
from lepton_ai.progress import SILENT, Progress

_MARK = Table(migrating.MARK, MetaData(), Column("source", Words()))


class Counted(msgspec.Struct, frozen=True):
    """A table as it is in both: how many rows, and the SHA-256 over all of them."""

    table: str
    rows: int
    sha256: str


def move(source: Catalog, target: Catalog, progress: Progress = SILENT) -> tuple[Counted, ...]:
    """Copy all rows of ``source`` into ``target``, and compare them. What an earlier call has copied stays.

    ``source`` is only read, and kept from being written to meanwhile as far as its kind allows (SQLite does): stop its
    server first. ``target`` is brought to the newest form, and may be used when this returns.

    Raises:
        AlreadyExists: there is something in ``target``, or it was begun from another source.
        Damaged: the two are not the same in the end, so ``source`` has changed meanwhile: begin with an empty database.
        Unsupported, TooNew: ``source`` is not of the newest form.
    """
    source.check()
    with source.reading() as here:
        _begin(target, _name_of(here))
        total = sum(_count(here, table) for table in METADATA.sorted_tables)
        progress.start("rows", 2 * total)
        for table in METADATA.sorted_tables:
            _copy(here, target, table, progress)
        moved = tuple(_compare(here, target, table, progress) for table in METADATA.sorted_tables)
    with target.writing() as there:
        for table in METADATA.sorted_tables:
            dumps.count_on(there, table)
        _MARK.drop(there)
    return moved


def _name_of(source: Connection) -> str:
    """What tells this catalog from others, however far it has got: the tokens of its first repositories."""
    repositories = METADATA.tables["repositories"]
    first = select(repositories.c.place).order_by(repositories.c.number).limit(10)
    return hashlib.sha256(repr([row[0] for row in source.execute(first)]).encode()).hexdigest()


def _begin(target: Catalog, name: str) -> None:
    with target.reading() as there:
        begun = inspect(there).has_table(migrating.MARK)
    if not begun:
        target.migrate()
        with target.writing() as there:
            full = [table.name for table in METADATA.sorted_tables if _count(there, table)]
            if full:
                raise AlreadyExists(
                    f"the database {target.where} has something in it: {', '.join(full)}",
                    hint="make an empty one, and name it",
                )
            _MARK.create(there)
            there.execute(insert(_MARK), {"source": name})
        return
    with target.reading() as there:
        known = there.execute(select(_MARK.c.source)).scalar()
    if known not in {None, name}:
        raise AlreadyExists(
            f"into {target.where} another server was being moved", hint="make an empty database, and name it"
        )


def _copy(here: Connection, target: Catalog, table: Table, progress: Progress) -> None:
    with target.reading() as there:
        after = walking.last_key(there, table)
        progress.advance(_count(there, table))
    for batch in walking.walk(here, table, after):
        rows = [dict(zip(table.columns.keys(), row, strict=True)) for row in batch]
        target.write(partial(_insert, table, rows))
        progress.advance(len(rows))


def _insert(table: Table, rows: Sequence[dict[str, Any]], there: Connection) -> None:
    there.execute(insert(table), list(rows))


def _compare(here: Connection, target: Catalog, table: Table, progress: Progress) -> Counted:
    with target.reading() as there:
        copied = _digest(there, table, SILENT)
    original = _digest(here, table, progress)
    if copied != original:
        raise Damaged(
            f"{table.name}: {copied.rows} rows in {target.where} and {original.rows} in the source are not the same",
            hint="stop the server that is moved, make an empty database, and begin anew",
        )
    return original


def _digest(connection: Connection, table: Table, progress: Progress) -> Counted:
    rows, digest = 0, hashlib.sha256()
    for batch in walking.walk(connection, table):
        for row in batch:
            digest.update(msgspec.json.encode(tuple(row)) + b"\n")
        rows += len(batch)
        progress.advance(len(batch))
    return Counted(str(table.name), rows, digest.hexdigest())


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)
