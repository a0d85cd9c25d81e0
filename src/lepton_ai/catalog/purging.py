"""What is left of removed repositories: how it comes back, or goes for good."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from sqlalchemy import Column, Table, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.repositories import COLUMNS, Row, named, taken
from lepton_ai.catalog.tables.history import COMMITS, LOG, REFS, VERSIONS
from lepton_ai.catalog.tables.packs import PACKS
from lepton_ai.catalog.tables.repositories import COUNTERS, REPOSITORIES
from lepton_ai.catalog.tables.types import METADATA
from lepton_ai.errors import NotFound

_FAR = 1 << 32
"""So far the numbers of packs go on, since removals took some too: nobody's list of before goes on in what comes."""


def removed(catalog: Catalog, *, limit: int = 100) -> list[Row]:
    """Repositories that were removed and not purged, the oldest first."""
    query = select(*COLUMNS).where(REPOSITORIES.c.removed > 0).order_by(REPOSITORIES.c.removed)
    with catalog.reading() as connection:
        return [Row(*row) for row in connection.execute(query.limit(limit))]


def page(catalog: Catalog, *, before: int | None = None, limit: int = 100) -> list[Row]:
    """The same, the newest repository first; ``before`` (a number) continues a page."""
    query = select(*COLUMNS).where(REPOSITORIES.c.removed > 0)
    if before is not None:
        query = query.where(REPOSITORIES.c.removed < before)
    with catalog.reading() as connection:
        found = connection.execute(query.order_by(REPOSITORIES.c.removed.desc()).limit(limit))
        return [Row(*row) for row in found]


def restore(catalog: Catalog, number: int, since: int) -> Row:
    """Bring a removed repository back under its name, with all that it had.

    ``since`` (microseconds since 1970): one that was removed before is being ended, and stays so.

    Raises:
        NotFound: there is none of this number, or it was removed before ``since``.
        AlreadyExists: another one has taken the name.
    """

    def act(connection: Connection) -> Row:
        query = select(*COLUMNS).where(REPOSITORIES.c.number == number, REPOSITORIES.c.removed > 0)
        found = connection.execute(query.with_for_update(key_share=True)).first()
        row = None if found is None else Row(*found)
        if row is None or row.changed_at <= since:
            raise NotFound("there is no such removed repository, or no longer", hint="see the list of them")
        if connection.execute(named(row.owner, row.name)).first():
            raise taken(row.owner, row.name)
        connection.execute(insert(COUNTERS), {"repository": number, **_counted(connection, number)})
        now = time.time_ns() // 1000
        back = update(REPOSITORIES).where(REPOSITORIES.c.number == number)
        try:
            connection.execute(back.values(removed=0, changed_at=now, edition=row.edition + 1))
        except IntegrityError as problem:
            raise taken(row.owner, row.name) from problem
        return Row(*connection.execute(named(row.owner, row.name)).one())

    return catalog.write(act)


def _counted(connection: Connection, number: int) -> dict[str, int]:
    """What the repository had counted when it was removed."""

    def highest(column: Column[Any]) -> int:
        query = select(func.max(column)).where(column.table.c.repository == number)
        return int(connection.execute(query).scalar() or 0)

    return {
        "stamp": max(highest(COMMITS.c.stamp), highest(REFS.c.stamp)),  # every commit has a row of its own
        "logged": highest(LOG.c.number),
        "saved": highest(VERSIONS.c.sequence),
        "packed": highest(PACKS.c.number) + _FAR,
    }


def purge(catalog: Catalog, number: int) -> None:
    """End a removed repository: all its rows. Delete its objects first, since only its row knows where they are.

    Each table in a transaction of its own; what was begun is gone on with by the next call.
    """
    for table in reversed(METADATA.sorted_tables):  # those that name others first
        if "repository" not in table.c:
            continue
        catalog.write(partial(_empty, table=table, number=number))
    gone = delete(REPOSITORIES).where(REPOSITORIES.c.number == number, REPOSITORIES.c.removed > 0)
    catalog.write(lambda connection: connection.execute(gone))


def _empty(connection: Connection, table: Table, number: int) -> None:
    still = select(REPOSITORIES.c.number).where(REPOSITORIES.c.number == number, REPOSITORIES.c.removed > 0)
    if connection.execute(still).first():
        connection.execute(delete(table).where(table.c.repository == number))
