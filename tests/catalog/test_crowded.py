"""A database that takes no more connections."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import Busy
from tests.services import Postgresql


def test_a_database_that_is_full_of_others_says_what_to_set() -> None:
    service = Postgresql(max_connections="5")
    try:
        service.start()
        url = service.fresh()
        with ExitStack() as others:
            for _ in range(5):
                others.enter_context(psycopg.connect(url))
            with pytest.raises(Busy, match="takes no more connections") as told:
                Catalog(url).check()
        assert "`connections` in server.json" in (told.value.hint or "")
    finally:
        service.end()
