"""What is left of removed repositories, and how it goes."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Table, delete, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.repositories import COLUMNS, Row
from lepton_ai.catalog.tables.repositories import REPOSITORIES
from lepton_ai.catalog.tables.types import METADATA


def removed(catalog: Catalog, *, limit: int = 100) -> list[Row]:
    """Repositories that were removed and not purged, the oldest first."""
    query = select(*COLUMNS).where(REPOSITORIES.c.removed > 0).order_by(REPOSITORIES.c.removed)
    with catalog.reading() as connection:
        return [Row(*row) for row in connection.execute(query.limit(limit))]


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
