"""The history in a server's database keeps every promise of the contract, on every kind of database."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lepton_ai import wire
from lepton_ai.catalog import purging, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.tables.types import KEY_BYTES, NAME_BYTES
from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move
from lepton_ai.testing.refs import RefSuite, put
from lepton_ai.testing.refs_machine import RefMachine
from lepton_ai.testing.refs_records import content, version
from tests.history.refs.processes import ROOT
from tests.history.refs.racers import check_race


class TestCatalogHistory(RefSuite):
    @pytest.fixture
    def reopen(self, catalog: Catalog, repository: repositories.Row) -> Callable[[], CatalogHistory]:
        return lambda: CatalogHistory(catalog, repository.number)

    @pytest.fixture
    def history(self, reopen: Callable[[], CatalogHistory]) -> CatalogHistory:
        return reopen()


def made(catalog: Catalog) -> repositories.Row:
    return repositories.create(catalog, wire.NewRepository("ada", secrets.token_hex(8)), "ada")


def test_the_machine_of_all_histories(catalog: Catalog) -> None:
    class CatalogMachine(RefMachine):
        def open(self) -> History:
            return CatalogHistory(catalog, made(catalog).number)

    plan = settings(
        max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(CatalogMachine, settings=plan)


@pytest.mark.parametrize("commits", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_eight_processes_lose_nothing(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path, commits: int
) -> None:
    url = catalog.url.render_as_string(hide_password=False)
    words = [url, str(repository.number), str(tmp_path), "8", str(commits)]
    command = [sys.executable, "-m", "tests.catalog.driver", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["well"], done.stderr
    check_race(CatalogHistory(catalog, repository.number), tmp_path, 8, commits)


def test_repositories_do_not_see_each_other(catalog: Catalog) -> None:
    one, other = (CatalogHistory(catalog, made(catalog).number) for _ in range(2))
    put(one, "branch/main", b"1")
    one.commit(Commit("t", "t", versions=(version(1),), contents=(content(1),)))
    assert not any((other.scan(""), other.log(), other.page(), other.log("branch/"), other.named("v1")))
    assert not any((other.versions([version(1).id]), other.contents([content(1).sha256]), other.find("")))
    other.commit(Commit("t", "t", versions=(version(1, name="w"),)))
    assert [row.name for _, row in one.page()] == ["v1"]


def test_keys_and_names_of_any_kind_up_to_a_length(catalog: Catalog, repository: repositories.Row) -> None:
    """Case, accents, blanks at the end and NUL tell keys apart; the longest can be kept and found by its beginning."""
    history = CatalogHistory(catalog, repository.number)
    keys = ["a", "A", "á", "a\u0301", "a ", "a  ", "a\0", "a\0\0", "ß", "ss", "\0", "😀" * (KEY_BYTES // 4)]
    history.commit(Commit("t", "t", moves=tuple(Move(key, ABSENT, key.encode()) for key in keys)))
    for key in keys:
        assert history.get([key])[key].value == key.encode()
        assert [entry.key for entry in history.log(key) if entry.key == key] == [key]
    assert [ref.key for ref in history.scan("")] == sorted(keys)
    assert [ref.key for ref in history.scan("😀" * 400)] == keys[-1:]
    long = version(2, name="ü" * (NAME_BYTES // 2))
    history.commit(Commit("t", "t", versions=(long, version(3, name="V1"))))
    assert history.named(long.name) == [long]
    assert history.named("v1") == []
    before = history.log()
    for change in (
        Commit("t", "t", moves=(Move("x" * (KEY_BYTES + 1), ABSENT, b""),)),
        Commit("t", "t", checks={"x" * (KEY_BYTES + 1): ABSENT}),
        Commit("t", "t", versions=(version(4, name="x" * (NAME_BYTES + 1)),)),
    ):
        with pytest.raises(UsageError, match="bytes"):
            history.commit(change)
    assert history.log() == before


def test_numbers_of_64_bits(catalog: Catalog, repository: repositories.Row) -> None:
    history = CatalogHistory(catalog, repository.number)
    most = (1 << 63) - 1
    history.commit(Commit("t", "t", at=most, moves=(Move("key", ABSENT, b""),)))
    assert history.log()[0].at == most


def test_large_values_are_kept_or_refused_plainly(
    catalog: Catalog, repository: repositories.Row, kind: str
) -> None:
    history = CatalogHistory(catalog, repository.number)
    value = bytes(range(256)) * (20 << 12)
    change = Commit("t", "t", moves=(Move("big", ABSENT, value, logged=False),))
    if kind == "mariadb":  # of 16 MiB, when nobody has changed its max_allowed_packet
        with pytest.raises(StorageFailed, match=r"too large.*max_allowed_packet"):
            history.commit(change)
        assert history.scan("") == []
    else:
        history.commit(change)
        assert history.get(["big"])["big"].value == value
    put(history, "small", b"1")


def test_hooks_are_of_the_same_transaction(catalog: Catalog, repository: repositories.Row) -> None:
    seen = []

    def hook(connection: object, number: int, change: Commit) -> None:
        seen.append((number, change.act))
        if change.act == "refused":
            raise UsageError("no")

    history = CatalogHistory(catalog, repository.number)
    catalog.hooks.append(hook)
    try:
        put(history, "a", b"1", act="fine")
        with pytest.raises(UsageError, match="no"):
            put(history, "a", b"2", act="refused")
    finally:
        catalog.hooks.remove(hook)
    assert seen == [(repository.number, "fine"), (repository.number, "refused")]
    assert history.get(["a"])["a"].value == b"1"
    assert len(history.log()) == 1


def test_a_removed_repository_takes_no_commit_and_leaves_nothing(catalog: Catalog) -> None:
    row = made(catalog)
    history = CatalogHistory(catalog, row.number)
    put(history, "branch/main", b"1")
    repositories.remove(catalog, row.number)
    with pytest.raises(NotFound, match="removed"):
        put(history, "branch/main", b"2")
    assert row.number in [one.number for one in purging.removed(catalog)]
    again = repositories.create(catalog, wire.NewRepository(row.owner, row.name), "bob")
    assert (again.number, again.place) != (row.number, row.place)
    purging.purge(catalog, row.number)
    assert history.scan("") == history.log() == []
    assert row.number not in [one.number for one in purging.removed(catalog)]
    purging.purge(catalog, again.number)  # is not removed: nothing happens
    assert repositories.find(catalog, row.owner, row.name) == again
