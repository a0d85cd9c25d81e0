"""The history in a server's database keeps every promise of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.testing.refs import RefSuite


class TestCatalogHistory(RefSuite):
    @pytest.fixture
    def reopen(self, catalog: Catalog, repository: repositories.Row) -> Callable[[], CatalogHistory]:
        return lambda: CatalogHistory(catalog, repository.number)

    @pytest.fixture
    def history(self, reopen: Callable[[], CatalogHistory]) -> CatalogHistory:
        return reopen()
