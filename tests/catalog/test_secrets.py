"""API tokens and browser sessions."""

from __future__ import annotations

import hashlib

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from lepton_ai import wire
from lepton_ai.catalog import bearer, passwords, people, sessions, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.people import SESSIONS, TOKENS
from lepton_ai.errors import Forbidden, NotFound, Unauthenticated, UsageError

NOW = 1_795_132_800_000_000
MINUTE = 60_000_000


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def ada(catalog: Catalog) -> people.User:
    return people.add_user(catalog, "ada", "correct horse battery", admin=True)


@pytest.fixture
def bo(catalog: Catalog) -> people.User:
    return people.add_user(catalog, "bo", "correct horse battery")


def secret_of(token: wire.Token) -> str:
    assert token.secret is not None
    return token.secret


def test_a_token_does_what_its_scopes_say(catalog: Catalog, ada: people.User) -> None:
    token = tokens.make(catalog, ada, wire.NewToken("laptop", ("write", "read"), days=7), NOW)
    assert secret_of(token).startswith(f"lai_{token.id}_")
    assert token.scopes == ("read", "write")
    assert token.expires_at == NOW + 7 * 24 * 60 * MINUTE
    assert tokens.find(catalog, secret_of(token), NOW) == (ada, ("read", "write"))


def test_only_hashes_are_kept(catalog: Catalog, ada: people.User) -> None:
    token, session = tokens.make(catalog, ada, wire.NewToken("x")), sessions.make(catalog, ada)
    for table, secret in ((TOKENS, secret_of(token)), (SESSIONS, session.secret)):
        with catalog.reading() as connection:
            row = connection.execute(select(table)).one()
        assert hashlib.sha256(secret.encode()).digest() in row
        assert secret.split("_")[2] not in repr(row)
    assert session.secret not in repr(session)
    assert secret_of(token) not in repr(bearer.read(secret_of(token)))


def test_what_is_no_token(catalog: Catalog, ada: people.User) -> None:
    secret = secret_of(tokens.make(catalog, ada, wire.NewToken("x"), NOW))
    session = sessions.make(catalog, ada, at=NOW).secret
    last = "0" if secret[-1] != "0" else "1"
    for wrong in (
        "",
        "lai",
        secret[:-1],
        secret[:-1] + last,
        secret + "0",
        secret.upper(),
        session,
        f" {secret}",
    ):
        with pytest.raises(Unauthenticated):
            tokens.find(catalog, wrong, NOW)
    with pytest.raises(Unauthenticated):
        sessions.find(catalog, secret, NOW)


def test_tokens_expire(catalog: Catalog, ada: people.User) -> None:
    token = tokens.make(catalog, ada, wire.NewToken("x", days=1), NOW)
    assert tokens.find(catalog, secret_of(token), token.expires_at - 1)
    with pytest.raises(Unauthenticated):
        tokens.find(catalog, secret_of(token), token.expires_at)


@pytest.mark.parametrize(
    "new",
    [
        wire.NewToken("x", ()), wire.NewToken("x", ("read", "root")), wire.NewToken(" "), wire.NewToken("x" * 101),
        wire.NewToken("x", days=0), wire.NewToken("x", days=367),
    ],
)  # fmt: skip
def test_tokens_that_nobody_can_make(catalog: Catalog, ada: people.User, new: wire.NewToken) -> None:
    with pytest.raises(UsageError):
        tokens.make(catalog, ada, new)


def test_only_administrators_make_tokens_for_administration(
    catalog: Catalog, ada: people.User, bo: people.User
) -> None:
    assert tokens.make(catalog, ada, wire.NewToken("x", ("admin",))).scopes == ("admin",)
    with pytest.raises(Forbidden):
        tokens.make(catalog, bo, wire.NewToken("x", ("read", "admin")))


def test_tokens_are_listed_and_revoked(catalog: Catalog, ada: people.User, bo: people.User) -> None:
    made = [tokens.make(catalog, ada, wire.NewToken(f"t{number}"), NOW) for number in range(3)]
    others = tokens.make(catalog, bo, wire.NewToken("other"), NOW)
    tokens.find(catalog, secret_of(made[0]), NOW + 5)
    tokens.find(catalog, secret_of(made[0]), NOW + MINUTE)
    listed = {token.id: token for token in tokens.page(catalog, ada)}
    assert set(listed) == {token.id for token in made}
    assert listed[made[0].id].last_used_at == NOW + 5, "not every use is written"
    assert all(token.secret is None for token in listed.values())
    first = tokens.page(catalog, ada, limit=2)
    assert [*first, *tokens.page(catalog, ada, after=first[-1].id)] == sorted(
        listed.values(), key=lambda t: t.id
    )
    with pytest.raises(NotFound):
        tokens.revoke(catalog, ada, others.id)
    assert tokens.revoke(catalog, ada, made[0].id) == 1
    with pytest.raises(Unauthenticated):
        tokens.find(catalog, secret_of(made[0]), NOW)
    assert tokens.revoke(catalog, ada, None) == 2
    assert tokens.page(catalog, ada) == []
    assert tokens.find(catalog, secret_of(others), NOW)[0] == bo


def test_a_session_and_its_csrf_token(catalog: Catalog, ada: people.User) -> None:
    opened, other = (
        sessions.make(catalog, ada, device="Firefox", address="10.0.0.1", at=NOW) for _ in range(2)
    )
    assert sessions.find(catalog, opened.secret, NOW) == (ada, opened.csrf)
    assert opened.csrf != other.csrf
    assert opened.csrf not in opened.secret
    shown = sessions.page(catalog, ada, at=NOW)
    assert {session.id for session in shown} == {opened.id, other.id}
    assert (shown[0].device, shown[0].address) == ("Firefox", "10.0.0.1")


def test_sessions_end_when_idle(catalog: Catalog, ada: people.User) -> None:
    opened, at = sessions.make(catalog, ada, at=NOW), NOW
    for _ in range(5):
        at += sessions.IDLE - 1
        assert sessions.find(catalog, opened.secret, at)
    with pytest.raises(Unauthenticated):
        sessions.find(catalog, opened.secret, at + sessions.IDLE)
    assert sessions.page(catalog, ada, at=at + sessions.IDLE) == []


def test_sessions_end_in_any_case(catalog: Catalog, ada: people.User) -> None:
    opened, at = sessions.make(catalog, ada, at=NOW), NOW
    while at + sessions.IDLE // 2 < NOW + sessions.ABSOLUTE:
        at += sessions.IDLE // 2
        assert sessions.find(catalog, opened.secret, at)
    with pytest.raises(Unauthenticated):
        sessions.find(catalog, opened.secret, NOW + sessions.ABSOLUTE)
    sessions.make(catalog, ada, at=NOW + sessions.ABSOLUTE)
    with catalog.reading() as connection:
        assert len(connection.execute(select(SESSIONS.c.id)).all()) == 1, "what has ended is not kept"


def test_sessions_are_ended(catalog: Catalog, ada: people.User, bo: people.User) -> None:
    mine, second, third = (sessions.make(catalog, ada) for _ in range(3))
    others = sessions.make(catalog, bo)
    with pytest.raises(NotFound):
        sessions.end(catalog, ada, others.id)
    sessions.end(catalog, ada, third.id)
    assert sessions.end_all(catalog, ada, keep=mine.id) == 1
    assert sessions.find(catalog, mine.secret)[0] == ada
    for ended in (second, third):
        with pytest.raises(Unauthenticated):
            sessions.find(catalog, ended.secret)
    assert sessions.end_all(catalog, ada) == 1
    assert sessions.find(catalog, others.secret)[0] == bo
