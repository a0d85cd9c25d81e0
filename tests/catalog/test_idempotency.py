"""A request that is sent twice is done once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from lepton_ai.catalog import idempotency, passwords, people
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.idempotency import Answer, Turn, begin
from lepton_ai.catalog.tables.journal import ANSWERS
from lepton_ai.errors import AlreadyExists, Busy, UsageError

CREATED = Answer(201, {"Location": "/x"}, b'{"name": "x"}')


@pytest.fixture
def ada(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> people.User:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    people.add_user(catalog, "bo", "correct horse battery")
    return people.add_user(catalog, "ada", "correct horse battery")


def asked(
    catalog: Catalog, user: people.User, key: str = "k1", body: bytes = b"{}", wait: float = 0.0
) -> Turn | Answer:
    return begin(catalog, user.number, key, "POST", "/api/v1/tokens", body, wait=wait)


def turn(found: Turn | Answer) -> Turn:
    assert isinstance(found, Turn)
    return found


def shifted(catalog: Catalog, **microseconds: int) -> None:
    values = {name: ANSWERS.c[name] - by for name, by in microseconds.items()}
    catalog.write(lambda connection: connection.execute(update(ANSWERS).values(values)))


def test_the_second_one_gets_the_first_ones_answer(catalog: Catalog, ada: people.User) -> None:
    with turn(asked(catalog, ada)) as working:
        assert working.finish(CREATED)
    assert asked(catalog, ada) == CREATED
    assert isinstance(asked(catalog, ada, "k2"), Turn)
    assert isinstance(asked(catalog, people.find(catalog, "bo")), Turn), "a key is its user's own"


def test_a_key_is_for_one_request(catalog: Catalog, ada: people.User) -> None:
    with turn(asked(catalog, ada)) as working:
        for method, path, body in (
            ("POST", "/api/v1/tokens", b"{ }"),
            ("PUT", "/api/v1/tokens", b"{}"),
            ("POST", "/", b"{}"),
        ):
            with pytest.raises(UsageError, match="another request"):
                begin(catalog, ada.number, "k1", method, path, body)
        working.finish(CREATED)
    with pytest.raises(UsageError, match="another request"):
        asked(catalog, ada, body=b"[]")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü", "a\n"])
def test_what_is_no_key(catalog: Catalog, ada: people.User, key: str) -> None:
    with pytest.raises(UsageError):
        asked(catalog, ada, key)


def test_meanwhile_it_is_busy(catalog: Catalog, ada: people.User) -> None:
    with turn(asked(catalog, ada)) as working:
        with pytest.raises(Busy):
            asked(catalog, ada)
        with pytest.raises(Busy):
            asked(catalog, ada, wait=0.1)
        working.finish(CREATED)


def test_whoever_waits_gets_the_answer(catalog: Catalog, ada: people.User) -> None:
    with turn(asked(catalog, ada)) as working, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asked, catalog, ada, wait=60)
        working.finish(CREATED)
        assert waiting.result() == CREATED


def test_of_many_at_once_one_works(catalog: Catalog, ada: people.User) -> None:
    done: list[int] = []
    together = threading.Barrier(6)

    def ask(number: int) -> Answer:
        together.wait()
        found = asked(catalog, ada, wait=60)
        if isinstance(found, Answer):
            return found
        with found:
            done.append(number)
            found.finish(CREATED)
        return CREATED

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == [CREATED] * 6
    assert len(done) == 1


def test_what_failed_may_be_tried_again(catalog: Catalog, ada: people.User) -> None:
    def fails() -> None:
        with turn(asked(catalog, ada)):
            raise ValueError

    with pytest.raises(ValueError):
        fails()
    with turn(asked(catalog, ada)) as working:
        working.finish(CREATED)


def test_a_crash_leaves_nothing_stuck(catalog: Catalog, ada: people.User) -> None:
    dead = turn(asked(catalog, ada))
    shifted(catalog, beat_at=idempotency.LEASE - 5_000_000)
    with pytest.raises(Busy):
        asked(catalog, ada)
    shifted(catalog, beat_at=5_000_000)
    with turn(asked(catalog, ada)) as working:
        assert not dead.finish(Answer(500, {}, b"too late")), "it is somebody else's by now"
        dead.abandon()
        assert working.finish(CREATED)
    assert asked(catalog, ada) == CREATED


def test_whoever_works_shows_it(catalog: Catalog, ada: people.User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_BEAT", 0.01)
    with turn(asked(catalog, ada)):
        shifted(catalog, beat_at=idempotency.LEASE)
        for _ in range(500):
            with catalog.reading() as connection:
                beat = connection.execute(select(ANSWERS.c.beat_at)).scalar_one()
            if beat > people.now() - idempotency.LEASE // 2:
                break
            threading.Event().wait(0.01)
        with pytest.raises(Busy):
            asked(catalog, ada)


def test_secrets_are_not_kept(catalog: Catalog, ada: people.User) -> None:
    with turn(asked(catalog, ada)) as working:
        working.finish(Answer(201, {}, b"lai_secret"), secret=True)
    with catalog.reading() as connection:
        assert b"lai_secret" not in repr(connection.execute(select(ANSWERS)).all()).encode()
    with pytest.raises(AlreadyExists, match="told once"):
        asked(catalog, ada)


def test_an_answer_is_kept_for_a_day(catalog: Catalog, ada: people.User) -> None:
    for key in ("k1", "k2"):
        with turn(asked(catalog, ada, key)) as working:
            working.finish(CREATED)
    shifted(catalog, expires_at=idempotency.KEPT)
    assert isinstance(asked(catalog, ada, "k1", b"another body"), Turn)
    with catalog.reading() as connection:
        assert connection.execute(select(func.count()).select_from(ANSWERS)).scalar() == 1
