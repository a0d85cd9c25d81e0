"""Searches, events and secrets are found by indexes; a page in the order of an index is not sorted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import event, text

from lepton_ai import wire
from lepton_ai.catalog import (
    events,
    hooks,
    idempotency,
    passwords,
    people,
    repositories,
    search,
    sessions,
    tokens,
)
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from tests.catalog.shelves import Shelf, world

Asked = list[tuple[str, Any]]
IN_ORDER = [
    "", "created", "created DESC", "updated DESC", "name", "author DESC", "status", "metrics.a", "metrics.a DESC",
    "params.p", "params.p DESC",
]  # fmt: skip
FILTERS = [
    "metrics.a > 0.4", "params.p = 'x'", "params.p < 3", "tag = 'gold'", "alias IN ('production')", "name = 'v1'",
    "name LIKE 'v1%'", "author = 'ada'", "branch = 'main'", "created > 2026-11-20", "updated = 2026-11-20",
    "message ~ 'x'",
    "status = 'Deleted'", "id = 'ab'", "content = 'ab'", "EXISTS metrics.b AND NOT tag IS NULL",
    "metrics.a > 1 OR tag ~ 'g'",
]  # fmt: skip


@pytest.fixture
def kept(catalog: Catalog) -> Iterator[Catalog]:
    made = hooks.attach(Catalog(catalog.url.render_as_string(hide_password=False)))
    yield made
    made.close()


@pytest.fixture
def asked(kept: Catalog) -> Iterator[Asked]:
    seen: Asked = []

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if re.match(r"SELECT .*\sFROM|UPDATE|DELETE", statement, re.DOTALL):
            seen.append((statement, values[0] if many else values))

    event.listen(kept.engine, "before_cursor_execute", note)
    yield seen
    event.remove(kept.engine, "before_cursor_execute", note)


def plans(catalog: Catalog, kind: str, asked: Asked, ways: tuple[str, ...]) -> dict[str, str]:
    """How the database would go about what was asked."""
    explain = "EXPLAIN QUERY PLAN " if kind == "sqlite" else "EXPLAIN "
    with catalog.reading() as connection:
        if kind == "postgresql":  # so few rows are read whole otherwise; what is left has no index
            for way in ways:
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        return {
            statement: "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(explain + statement, values)
            )
            for statement, values in asked
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], scope="session", indirect=True)
def test_searches_have_indexes(kept: Catalog, repository: repositories.Row, asked: Asked, kind: str) -> None:
    world(Shelf(CatalogHistory(kept, repository.number)))
    asked.clear()
    for where in FILTERS:
        for order_by in ("", "metrics.a", "author DESC, params.p"):
            search.versions(kept, repository.number, where, order_by)
    assert len(asked) > 100
    found = plans(kept, kind, asked, ("seqscan", "bitmapscan"))
    # What a part of the same statement has found may be gone through.
    read_whole = r"^SCAN (?!anon_|few|found|walk|CONSTANT ROW)" if kind == "sqlite" else "Seq Scan"
    assert {s: plan for s, plan in found.items() if re.search(read_whole, plan, re.MULTILINE)} == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], scope="session", indirect=True)
def test_a_page_in_the_order_of_an_index_is_not_sorted(
    kept: Catalog, repository: repositories.Row, asked: Asked, kind: str
) -> None:
    world(Shelf(CatalogHistory(kept, repository.number)))
    asked.clear()
    for order_by in IN_ORDER:
        cursor = search.versions(kept, repository.number, "", order_by, limit=3).next
        search.versions(kept, repository.number, "", order_by, cursor, 3)
    pages = [one for one in asked if "LIMIT" in one[0] and "search_versions" in one[0]]
    # Of an order by a value, what lacks it has no order; only a page that gets there reads it.
    whole = [one for one in pages if "NOT coalesce" not in one[0]]
    assert len(whole) > len(IN_ORDER)
    found = plans(kept, kind, whole, ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort"))
    # SQLite sorts the page once it is found: it does not see that it has the order of what it was found in.
    sorted_ = r"\bSort\b" if kind == "postgresql" else r"(?s)TEMP B-TREE.*TEMP B-TREE"
    assert {s: plan for s, plan in found.items() if re.search(sorted_, plan)} == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], scope="session", indirect=True)
def test_people_events_and_answers_have_indexes(
    kept: Catalog, repository: repositories.Row, asked: Asked, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    ada = people.add_user(kept, "ada", "correct horse battery", admin=True)
    people.check_password(kept, "ada", "correct horse battery", address="::1")
    people.page(kept, after="a", limit=10)
    token, session = tokens.make(kept, ada, wire.NewToken("x")), sessions.make(kept, ada)
    tokens.find(kept, token.secret or "")
    sessions.find(kept, session.secret)
    tokens.page(kept, ada, limit=10)
    sessions.page(kept, ada)
    tokens.revoke(kept, ada, token.id)
    sessions.end(kept, ada, session.id)
    events.after(kept, repository.number, 3)
    events.heads(kept, [repository.number])
    events.forget(kept, 1)
    idempotency.begin(kept, ada.number, "k", "POST", "/", b"")
    assert len(asked) > 15
    found = plans(kept, kind, asked, ("seqscan", "bitmapscan"))
    read_whole = r"^SCAN (?!.*USING)" if kind == "sqlite" else "Seq Scan"
    assert {s: plan for s, plan in found.items() if re.search(read_whole, plan, re.MULTILINE)} == {}
