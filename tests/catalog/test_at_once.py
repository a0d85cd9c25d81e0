"""Many questions in one transaction: of one state, and nothing is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection

from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.errors import Busy
from lepton_ai.testing.refs import put


@pytest.fixture
def begun(catalog: Catalog) -> Iterator[list[Connection]]:
    """The transactions that are begun."""
    seen: list[Connection] = []
    note = seen.append
    event.listen(catalog.engine, "begin", note)
    yield seen
    event.remove(catalog.engine, "begin", note)


def test_what_is_read_in_a_block_is_one_transaction(
    catalog: Catalog, repository: repositories.Row, begun: list[Connection]
) -> None:
    history = CatalogHistory(catalog, repository.number)
    ref = put(history, "branch/main", b"1")
    del begun[:]
    with catalog.at_once():
        for _ in range(3):
            assert history.get(["branch/main"]) == {"branch/main": ref}
            assert history.scan("branch/") == [ref]
            assert [entry.key for entry in history.log("branch/")] == ["branch/main"]
    assert len(begun) == 1
    assert history.scan("") == [ref]
    assert len(begun) == 2


def test_others_commit_meanwhile_and_are_not_seen(
    catalog: Catalog, repository: repositories.Row, kind: str
) -> None:
    history = CatalogHistory(catalog, repository.number)
    other = Catalog(catalog.url.render_as_string(hide_password=False), connections=1, timeout=0.2)
    theirs = CatalogHistory(other, repository.number)
    before = put(history, "branch/main", b"1")
    with catalog.at_once():
        assert history.scan("") == [before]
        with (
            pytest.raises(Busy) if kind == "sqlite" else nullcontext()
        ):  # there they wait for the block's end
            put(theirs, "branch/main", b"2")
        assert history.scan("") == [before]
    put(theirs, "branch/main", b"3")
    assert [ref.value for ref in history.scan("")] == [b"3"]
    other.close()


def test_nothing_is_written_in_a_block(catalog: Catalog, repository: repositories.Row) -> None:
    history = CatalogHistory(catalog, repository.number)
    with pytest.raises(AssertionError, match="nothing is written"), catalog.at_once():
        put(history, "branch/main", b"1")
    with pytest.raises(AssertionError, match="nothing is written"), catalog.at_once(), catalog.writing():
        pass
    assert history.scan("") == []
    put(history, "branch/main", b"1")
