"""Servers that stop, connections that break, deadlocks, secrets: what is said; nothing is lost or done twice."""

from __future__ import annotations

import secrets
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.tables.repositories import REPOSITORIES
from lepton_ai.errors import Busy, LeptonError, LostRace, StorageFailed, UsageError
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.testing.refs import increment, put
from tests.catalog.cutting import Cable, Moment
from tests.services import Service

pytestmark = pytest.mark.parametrize("kind", ["postgresql", "mariadb"], indirect=True, scope="session")


@pytest.fixture
def cable(service: Service) -> Iterator[Cable]:
    with Cable(service.port) as made:
        yield made


@pytest.fixture
def by_cable(service: Service, cable: Cable, catalog: Catalog) -> Iterator[Catalog]:
    """The same database, by a way that can be cut."""
    url = catalog.url.set(port=cable.port).render_as_string(hide_password=False)
    made = Catalog(url, timeout=10)
    yield made
    made.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_whose_answer_is_lost_counts_once(
    by_cable: Catalog, cable: Cable, repository: repositories.Row, moment: Moment
) -> None:
    history = CatalogHistory(by_cable, repository.number)
    for number in range(1, 4):
        cable.cut(moment)
        assert increment(history, "counter") == number
    assert cable.cuts == 3
    assert history.get(["counter"])["counter"].value == b"3"
    assert [entry.after for entry in history.log()] == [b"3", b"2", b"1"]


def test_a_commit_that_lost_its_answer_and_then_the_race_is_told_so(
    by_cable: Catalog,
    cable: Cable,
    catalog: Catalog,
    repository: repositories.Row,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database never got it, and somebody else was faster: a lost race, not a success."""
    mine, others = (CatalogHistory(one, repository.number) for one in (by_cable, catalog))
    find_out = by_cable._find_out

    def after_another(happened: Any) -> bool:
        put(others, "branch/main", b"theirs")
        return find_out(happened)

    monkeypatch.setattr(by_cable, "_find_out", after_another)
    cable.cut("before")
    with pytest.raises(LostRace, match="branch/main"):
        mine.commit(Commit("me", "put", moves=(Move("branch/main", ABSENT, b"mine"),)))
    assert mine.get(["branch/main"])["branch/main"].value == b"theirs"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_block_whose_answer_is_lost_is_told_to_be_unknown(
    by_cable: Catalog, cable: Cable, repository: repositories.Row, moment: Moment
) -> None:
    cable.cut(moment)
    with (
        pytest.raises(StorageFailed, match="whether it counts is not known"),
        by_cable.writing() as connection,
    ):
        connection.execute(
            update(REPOSITORIES).values(edition=2).where(REPOSITORIES.c.number == repository.number)
        )
    with by_cable.reading() as connection:
        edition = connection.execute(
            select(REPOSITORIES.c.edition).where(REPOSITORIES.c.number == repository.number)
        ).scalar()
    assert edition == (1 if moment == "before" else 2)


def test_a_deadlock_is_repeated(catalog: Catalog) -> None:
    rows = [
        repositories.create(catalog, wire.NewRepository("dead", secrets.token_hex(8)), "ada")
        for _ in range(2)
    ]
    both, turns, failures = threading.Barrier(2, timeout=20), [0, 0], []

    def work(me: int) -> None:
        def act(connection: Connection) -> None:
            turns[me] += 1
            for row in rows if me else reversed(rows):
                edit = update(REPOSITORIES).values(edition=REPOSITORIES.c.edition + 1)
                connection.execute(edit.where(REPOSITORIES.c.number == row.number))
                if turns[me] == 1 and row == (rows[0] if me else rows[1]):
                    both.wait()  # each holds one row, and goes for the other's

        try:
            catalog.write(act)
        except BaseException as problem:  # noqa: BLE001  (shown to the test's own thread below)
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(turns) > 2, "nobody was ever in the other's way: the test shows nothing"
    assert {repositories.find(catalog, row.owner, row.name).edition for row in rows} == {3}


def test_waiting_ends(service: Service, repository: repositories.Row, catalog: Catalog) -> None:
    hasty = Catalog(catalog.url.render_as_string(hide_password=False), timeout=1)
    with catalog.writing() as connection:
        holder = update(REPOSITORIES).where(REPOSITORIES.c.number == repository.number)
        connection.execute(holder.values(description="held"))
        with pytest.raises(Busy, match="busy"):
            repositories.change(hasty, repository.number, description="mine")
    hasty.close()


def test_too_many_at_once_wait_and_then_are_told(catalog: Catalog) -> None:
    small = Catalog(catalog.url.render_as_string(hide_password=False), timeout=1, connections=1)
    with small.reading(), pytest.raises(Busy, match="all connections"), small.reading():
        pass
    small.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_database_that_was_restarted_is_survived(
    service: Service, catalog: Catalog, repository: repositories.Row, how: str
) -> None:
    history = CatalogHistory(catalog, repository.number)
    for number in range(1, 20):
        assert increment(history, "counter") == number
    getattr(service, how)()
    with pytest.raises(StorageFailed) as told:
        history.get(["counter"])
    assert "does not answer" in str(told.value)
    with pytest.raises(StorageFailed):
        increment(history, "counter")
    service.start()
    assert history.get(["counter"])["counter"].value == b"19"
    assert increment(history, "counter") == 20


def test_no_error_tells_a_password(service: Service, tmp_path: Path) -> None:
    right, word = service.url("nowhere"), service.password.replace("@", "%40")
    wrong = [
        right,
        right.replace(word, "hunter2-wrong"),
        right.replace(str(service.port), "1"),
        right.replace(f"127.0.0.1:{service.port}", "no-such-host.invalid"),
        right.replace(f":{service.port}", f":{service.password}"),
        right.replace(f":{service.port}", ":port"),
        right.replace("://", "+nonsense://"),
        right.replace(service.program, "oracle"),
        f"{service.program} {service.password}",
        f"{service.program}://127.0.0.1:{service.port}/nowhere?user=lepton&password={word}",
    ]
    for url in wrong:
        with pytest.raises((StorageFailed, UsageError)) as told:
            Catalog(url).check()
        said = "".join(traceback.format_exception(told.value)) + repr(told.value.__dict__)
        for secret in (service.password, word, "hunter2-wrong"):
            assert secret not in "\n".join(
                line for line in said.splitlines() if "Catalog(url)" not in line
            ), url
    assert isinstance(told.value, LeptonError)


def test_values_of_statements_are_not_told(catalog: Catalog, repository: repositories.Row) -> None:
    values = {"owner": "s3cret-owner", "name": "x", "removed": None}
    with pytest.raises(LeptonError) as told, catalog.writing() as connection:
        connection.execute(REPOSITORIES.insert().values(**values))
    assert "s3cret-owner" not in str(told.value)
