"""Migrated catalogs on every kind of database: real servers, started once for all tests of a process."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from tests.services import Service

KINDS = ("sqlite", "postgresql", "mariadb")


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def service(kind: str, request: pytest.FixtureRequest) -> Service | None:
    """The server; None for SQLite."""
    return None if kind == "sqlite" else request.getfixturevalue(kind)


@pytest.fixture
def fresh(service: Service | None, tmp_path: Path) -> str:
    """The address of an empty database."""
    return service.fresh() if service else f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture(scope="session")
def shared(service: Service | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """One for all tests."""
    url = service.fresh() if service else f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.db"
    made = Catalog(url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def catalog(shared: Catalog) -> Catalog:
    """Without a row in it."""
    with shared.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(delete(table))
    return shared


@pytest.fixture
def repository(catalog: Catalog) -> repositories.Row:
    return repositories.create(catalog, wire.NewRepository("ada", f"digits-{secrets.token_hex(8)}"), "ada")
