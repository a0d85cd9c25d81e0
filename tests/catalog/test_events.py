"""What happened is told in order, once, by the transaction that did it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest

from lepton_ai import wire
from lepton_ai.catalog import events, hooks, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.errors import LostRace
from lepton_ai.history import states
from lepton_ai.history.refs.contract import Commit, Move
from tests.catalog.shelves import START, Shelf


@pytest.fixture
def catalog(catalog: Catalog) -> Iterator[Catalog]:
    """The same database, seen by a catalog that keeps the version index and the events."""
    made = hooks.attach(Catalog(catalog.url.render_as_string(hide_password=False)))
    yield made
    made.close()


@pytest.fixture
def shelf(catalog: Catalog, repository: repositories.Row) -> Shelf:
    return Shelf(CatalogHistory(catalog, repository.number))


def told(catalog: Catalog, repository: repositories.Row, number: int = 0) -> list[tuple[str, str]]:
    return [(event.kind, event.ref) for event in events.after(catalog, repository.number, number, limit=1000)]


def test_everything_that_people_do_is_told(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf
) -> None:
    shelf.branch("u1", "main")
    first = shelf.version("v1")
    key = f"version/{first.hex()}"
    shelf.version(revises=first)
    shelf.label("tag/x", first)
    shelf.label("alias/p", first)
    shelf.label("alias/p", first)
    shelf.label("tag/x", None)
    shelf.delete(first)
    shelf.set(key, shelf._states[first].__class__(shelf._states[first].newest, 2))
    shelf.delete(first, purged=True)
    shelf.branch("u1", "main", deleted=True)
    shelf.commit([Move("lease/x", 0, b"{}"), Move("branch/q", 0, None), Move(key, 0, None, logged=False)])
    assert told(catalog, repository) == [
        ("branch-created", "branch/main"), ("version-created", key), ("version-updated", key), ("tag-created", "tag/x"),
        ("alias-created", "alias/p"), ("alias-moved", "alias/p"), ("tag-removed", "tag/x"), ("version-deleted", key),
        ("version-restored", key), ("version-freed", key), ("branch-deleted", "branch/main"),
        ("branch-removed", "branch/q"),
    ]  # fmt: skip
    one = events.after(catalog, repository.number, 1, limit=1)[0]
    assert (one.number, one.at, one.actor, one.act, one.version) == (2, START, "ada", "test", first.hex())


def test_what_did_not_happen_is_not_told(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf
) -> None:
    shelf.branch("u1", "main")
    value = states.encode(states.BranchState("u9"))
    with pytest.raises(LostRace):
        shelf.histories[0].commit(
            Commit("bo", "x", moves=(Move("branch/main", 999, value), Move("branch/n", 0, value)))
        )
    assert told(catalog, repository) == [("branch-created", "branch/main")]


def test_numbers_are_a_repositorys_own(catalog: Catalog, repository: repositories.Row, shelf: Shelf) -> None:
    other = repositories.create(catalog, wire.NewRepository("ada", f"other{repository.number}"), "ada")
    Shelf(CatalogHistory(catalog, other.number)).branch("u1", "main")
    shelf.branch("u1", "main")
    shelf.branch("u2", "b")
    assert events.heads(catalog, [repository.number, other.number]) == {repository.number: 2, other.number: 1}
    events.tell(catalog, repository.number, "repository-changed", "ada", ref="x")
    assert told(catalog, repository, 2) == [("repository-changed", "x")]
    assert events.heads(catalog, []) == {}


def _write(url: str, number: int, writer: int) -> None:
    catalog = hooks.attach(Catalog(url))
    shelf = Shelf(CatalogHistory(catalog, number))
    for turn in range(15):
        shelf.branch(f"u{writer}-{turn}", f"b{writer}-{turn}")
    catalog.close()


def test_whoever_follows_misses_nothing(catalog: Catalog, repository: repositories.Row) -> None:
    url = catalog.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(url, repository.number, writer)) for writer in range(3)]
    seen: list[events.Event] = []
    over = threading.Event()

    def follow() -> None:
        while True:
            ended = over.is_set()
            new = events.after(catalog, repository.number, seen[-1].number if seen else 0, limit=7)
            seen.extend(new)
            if ended and not new:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    over.set()
    reader.join()
    assert [process.exitcode for process in writers] == [0, 0, 0]
    assert [event.number for event in seen] == list(range(1, 46))
    assert {event.ref for event in seen} == {f"branch/b{w}-{t}" for w in range(3) for t in range(15)}


def test_old_events_are_forgotten_but_the_numbers_go_on(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf
) -> None:
    for turn in range(5):
        shelf.branch(f"u{turn}", f"b{turn}")
    while events.forget(catalog, START + 1, batch=2):
        pass
    assert told(catalog, repository) == [("branch-created", "branch/b4")]
    shelf.branch("u9", "b9")
    assert events.after(catalog, repository.number, 2)[-1].number == 6


def test_a_repository_that_is_used_forgets_by_itself(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_SWEEP", 4)
    shelf.branch("u0", "b0")
    events.tell(catalog, repository.number, "repository-changed", "ada")  # of today
    for turn in range(1, 3):
        monkeypatch.setattr(events, "KEPT", 0 if turn == 2 else events.KEPT)
        shelf.branch(f"u{turn}", f"b{turn}")
    assert [event.number for event in events.after(catalog, repository.number)] == [4]
    shelf.branch("u9", "b9")
    assert [event.number for event in events.after(catalog, repository.number)] == [4, 5]
