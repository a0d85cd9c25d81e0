"""Every question has an index: what it costs grows with the answer, not with what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from lepton_ai import wire
from lepton_ai.catalog import packs, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.testing.refs_records import content, version

Asked = list[tuple[str, Any]]


@pytest.fixture
def asked(catalog: Catalog) -> Iterator[Asked]:
    """Every SELECT, UPDATE and DELETE, with its values."""
    seen: Asked = []

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if re.match(r"SELECT .*\sFROM|UPDATE|DELETE", statement, re.DOTALL) and "repositor" in statement:
            seen.append((statement, values[0] if many else values))

    event.listen(catalog.engine, "before_cursor_execute", note)
    yield seen
    event.remove(catalog.engine, "before_cursor_execute", note)


def everything(catalog: Catalog, row: repositories.Row) -> None:
    """All questions about a repository, and all changes."""
    history = CatalogHistory(catalog, row.number)
    one, known = version(1), content(1)
    history.commit(
        Commit("t", "save", moves=(Move("branch/main", ABSENT, b"1"), Move("tag/a", ABSENT, b"1")), versions=(one,),
               contents=(known,), checks={"no": ABSENT})
    )  # fmt: skip
    refs = history.get(["branch/main", "tag/a"])
    history.commit(
        Commit(
            "t", "again", versions=(one,), contents=(known,), sizes=(ContentRow(known.sha256, 1, 2, known.manifest),),
            moves=(Move("branch/main", refs["branch/main"].stamp, b"2"), Move("tag/a", refs["tag/a"].stamp, None)),
        )
    )  # fmt: skip
    history.scan("branch/", limit=10)
    history.scan("")
    history.scan("branch/", after="branch/a", limit=10)
    history.log(limit=10)
    history.log(before=100, limit=10)
    history.log("branch/", limit=10)
    history.log("bra", before=100, limit=10)
    history.versions([one.id])
    history.revisions([one.id])
    history.named("v1")
    history.find("ab")
    history.page(limit=10)
    history.page(before=100, limit=10)
    history.contents([known.sha256])
    repositories.find(catalog, row.owner, row.name)
    repositories.page(catalog, limit=10)
    repositories.page(catalog, owner="ada", limit=10)
    repositories.page(catalog, after=("ada", "x"), limit=10)
    repositories.change(catalog, row.number, description="x")
    repositories.keys(catalog, row.number)
    repositories.key_names(catalog, [row.number])
    repositories.add_key(catalog, row.number, wire.KeyFile("a", b""))
    packs.add(catalog, row.number, "0" * 64, lambda: wire.Pack("0" * 64, 1, 1.0))
    packs.page(catalog, row.number, "0", 10)
    packs.find(catalog, row.number, "0" * 64)
    list(packs.Listed(None, catalog, row.number)._of_shard("00"))  # type: ignore[arg-type]
    packs.remove(catalog, row.number, ["0" * 64])
    packs.erase(catalog, row.number, MemoryBlobs(), ["0" * 64])


def test_every_question_has_an_index(
    catalog: Catalog, repository: repositories.Row, asked: Asked, kind: str
) -> None:
    everything(catalog, repository)
    questions = dict(asked)
    assert len(questions) > 30
    asked.clear()
    explain = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}[kind]
    with catalog.reading() as connection:
        if kind == "postgresql":  # so few rows are read whole otherwise; what is left has no index
            for way in ("seqscan", "bitmapscan", "sort"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        found = {statement: explain(connection, statement, values) for statement, values in questions.items()}
    assert {statement: plan for statement, plan in found.items() if plan} == {}


def _sqlite(connection: Any, statement: str, values: Any) -> str:
    rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values).fetchall()
    plan = "\n".join(row[3] for row in rows)
    return plan if re.search(r"^SCAN|TEMP B-TREE", plan, re.MULTILINE) else ""


def _postgresql(connection: Any, statement: str, values: Any) -> str:
    rows = connection.exec_driver_sql("EXPLAIN " + statement, values).fetchall()
    plan = "\n".join(row[0] for row in rows)
    return plan if re.search(r"Seq Scan|Sort Key", plan) else ""


def _mariadb(connection: Any, statement: str, values: Any) -> str:
    rows = connection.exec_driver_sql("EXPLAIN " + statement, values).mappings().all()
    bad = [dict(row) for row in rows if row["possible_keys"] is None and row["key"] is None and row["table"]]
    return str(bad) if bad else ""


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True, scope="session")
def test_no_plan_is_kept_for_repositories_of_all_sizes(
    catalog: Catalog, repository: repositories.Row
) -> None:
    history = CatalogHistory(catalog, repository.number)
    for _ in range(20):
        history.page(limit=5)
    with catalog.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
