"""Where a server under test keeps its rows: every kind of database, migrated once and emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from tests.services import Service

SERVERS = ("postgresql", "mariadb")
everywhere = pytest.mark.parametrize("database", ["sqlite", *SERVERS], indirect=True)
"""A test that ``make test`` runs over every kind; the others meet PostgreSQL and MariaDB in the slow target."""


class Prepared:
    """A database with tables on each server, emptied again and again."""

    def __init__(self) -> None:
        self._made: dict[str, Catalog] = {}

    def emptied(self, service: Service) -> str:
        """The address of the database on a server, without a row in it."""
        if service.program not in self._made:
            self._made[service.program] = Catalog(service.fresh(), connections=3)
            self._made[service.program].migrate()
        made = self._made[service.program]
        with made.writing() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(delete(table))
        return made.url.render_as_string(hide_password=False)

    def close(self) -> None:
        for made in self._made.values():
            made.close()


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    made = Prepared()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SERVERS)])
def database(request: pytest.FixtureRequest, prepared: Prepared) -> str:
    """The address of an empty database; "" stands for the embedded one."""
    if request.param == "sqlite":
        return ""
    return prepared.emptied(request.getfixturevalue(request.param))
