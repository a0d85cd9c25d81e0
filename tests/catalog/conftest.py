"""A fresh, migrated catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def repository(catalog: Catalog) -> repositories.Row:
    return repositories.create(catalog, wire.NewRepository("ada", "digits"), "ada")
