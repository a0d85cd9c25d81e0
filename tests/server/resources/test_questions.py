"""How often an answer asks the database: once for a page, however long it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import event
from starlette.testclient import TestClient

from lepton_ai.errors import LostRace
from tests.server.resources.test_names import model
from tests.server.resources.test_versions import place, save

__all__ = ["place"]
REPOSITORIES = "/api/v1/repositories"


class Counted:
    """Statements, and transactions around them."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.transactions = 0

    def ask(self, _c: Any, _k: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)

    def begin(self, _connection: Any) -> None:
        self.transactions += 1


@contextmanager
def counted(http: TestClient) -> Iterator[Counted]:
    engine, seen = http.app.state.running.catalog.engine, Counted()  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", seen.ask)
    event.listen(engine, "begin", seen.begin)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", seen.ask)
        event.remove(engine, "begin", seen.begin)


def asked(http: TestClient, act: Callable[[], Any]) -> Counted:
    """What one request asks; once before, so that the repository is open."""
    assert act().is_success
    with counted(http) as seen:
        assert act().is_success
    return seen


def test_a_page_of_repositories_costs_what_one_costs(ada: TestClient) -> None:
    for number in range(6):
        body = {"owner": "ada", "name": f"r{number}"}
        assert ada.post(REPOSITORIES, json=body).status_code == 201
    one, all_ = (asked(ada, partial(ada.get, f"{REPOSITORIES}?limit={n}")) for n in (1, 6))
    assert len(all_.statements) == len(one.statements)
    page = ada.get(REPOSITORIES).json()["repositories"]
    assert page == [ada.get(f"{REPOSITORIES}/ada/r{number}").json() for number in range(6)]
    assert all(line["readable"] and len(line["sealing"]) == 1 for line in page)


def test_a_page_of_labels_costs_what_one_costs(ada: TestClient, place: str) -> None:
    for number in range(3):
        save(ada, model(a=number))
        for kind in ("tags", "aliases"):
            assert ada.put(f"{place}/{kind}/{kind}{number}", json={"version": f"v{number + 1}"}).is_success
    for kind in ("tags", "aliases"):
        one, all_ = (asked(ada, partial(ada.get, f"{place}/{kind}?limit={n}")) for n in (1, 3))
        assert len(all_.statements) == len(one.statements)
        assert sum("FROM refs" in statement for statement in all_.statements) == 1
        assert sum("FROM versions" in statement for statement in all_.statements) == 1
        told = ada.get(f"{place}/{kind}").json()["labels"]
        assert [line["version"]["name"] for line in told] == ["v1", "v2", "v3"]
        assert told == [ada.get(f"{place}/{kind}/{line['name']}").json() for line in told]


def test_what_an_alias_meant_costs_one_question_for_its_versions(ada: TestClient, place: str) -> None:
    for number in range(3):
        save(ada, model(a=number))
        assert ada.put(f"{place}/aliases/p", json={"version": f"v{number + 1}"}).is_success
    seen = asked(ada, lambda: ada.get(f"{place}/alias-meanings/p"))
    assert sum("FROM versions" in statement for statement in seen.statements) == 1
    meanings = ada.get(f"{place}/alias-meanings/p").json()["meanings"]
    assert [line["version"]["name"] for line in meanings] == ["v3", "v2", "v1"]


def test_a_change_reads_in_one_transaction(ada: TestClient, place: str) -> None:
    """Who asks, which repository, what the change looks at, the change, the answer: five, however far it looks."""
    for number in range(9):
        save(ada, model(a=number))
    moves = iter(("v1", "v9", "main", "v2"))
    for _ in range(2):
        seen = asked(ada, lambda: ada.put(f"{place}/aliases/p", json={"version": next(moves)}))
        assert seen.transactions == 5
    assert ada.get(f"{place}/aliases/p").json()["version"]["name"] == "v2"


def test_whoever_loses_a_race_reads_afresh(
    ada: TestClient, called: Callable[[str], TestClient], place: str
) -> None:
    """Somebody moves the alias between the look and the change; the change is made of what is there then."""
    for number in range(2):
        save(ada, model(a=number))
    assert ada.put(f"{place}/aliases/p", json={"version": "v1"}).is_success
    running = ada.app.state.running  # type: ignore[attr-defined]
    eve, came = called("eve"), list[int]()

    def first(_connection: Any, _number: int, change: Any) -> None:
        """A hook of commits: the first one finds that somebody else was faster."""
        if not came and change.act == "set alias":
            came.append(1)
            raise LostRace("somebody was faster")

    running.catalog.hooks.append(first)
    moved = eve.put(f"{place}/aliases/p", json={"version": "v2"})
    assert (moved.status_code, moved.json()["version"]["name"], came) == (200, "v2", [1])
