"""Users, passwords and the delays for whoever guesses them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text

from lepton_ai import wire
from lepton_ai.catalog import lockout, passwords, people, sessions, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.lockout import LockedOut
from lepton_ai.catalog.tables.people import LOGIN_FAILURES, USERS
from lepton_ai.errors import (
    AlreadyExists,
    Busy,
    InUse,
    InvalidName,
    LostRace,
    NotAllowed,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    UsageError,
)

GOOD, OTHER = "correct horse battery", "another long password"
NOW = 1_795_132_800_000_000
SECOND = 1_000_000


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._decoy.cache_clear()


@pytest.fixture
def ada(catalog: Catalog) -> people.User:
    return people.add_user(catalog, "ada", GOOD, admin=True)


def test_todays_hashes_are_argon2id_with_their_parameters() -> None:
    hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
    assert hasher.hash("x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_only_a_hash_is_kept(catalog: Catalog, ada: people.User) -> None:
    with catalog.reading() as connection:
        kept = connection.execute(select(USERS.c.password)).scalar_one()
    assert kept.startswith("$argon2id$")
    assert GOOD not in kept
    assert passwords.matches(kept, GOOD)
    assert not passwords.matches(kept, GOOD + " ")
    assert "password" not in repr(ada).replace("password_at", "")


@pytest.mark.parametrize(
    "password",
    ["short", "a" * 30, "x" * 1025, "é" * 600, "half \ud800 a character", "the-user-name", "password123",
     "P@ssw0rd2026!", "1234567890", "0987654321", "qwertyuiop", "lepton-ai-2026", "the-user-name2026", "abababababab"],
)  # fmt: skip
def test_passwords_that_may_not_be_chosen(password: str) -> None:
    with pytest.raises(UsageError):
        passwords.check(password, "the-user-name")


@pytest.mark.parametrize(
    "password", ["a first password", "correct horse battery", "my password is 7", "tr0ub4dor&3x"]
)
def test_passwords_that_may_be_chosen(password: str) -> None:
    assert passwords.check(password, "ana") == password


def test_a_password_typed_on_another_keyboard_fits(catalog: Catalog) -> None:
    people.add_user(catalog, "zoe", "Ångström passwörd")
    assert people.check_password(catalog, "zoe", "Ångström passwörd").name == "zoe"


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a..b", "a/b", "a" * 65, "ada\n", "ädä"])
def test_names_that_no_user_can_have(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidName):
        people.add_user(catalog, name, GOOD)


def test_a_name_is_taken_once(catalog: Catalog, ada: people.User) -> None:
    with pytest.raises(AlreadyExists):
        people.add_user(catalog, "ada", OTHER)
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(people.add_user, catalog, "bo", GOOD) for _ in range(4)]
    failed = [future.exception() for future in made if future.exception()]
    assert [type(problem) for problem in failed] == [AlreadyExists] * 3
    assert people.count(catalog) == 2


def test_users_are_listed_by_name(catalog: Catalog, ada: people.User) -> None:
    for name in ("zoe", "bo", "0x"):
        people.add_user(catalog, name, GOOD, created_by="ada")
    first = people.page(catalog, limit=2)
    assert [user.name for user in first] == ["0x", "ada"]
    assert [(u.name, u.created_by, u.admin) for u in people.page(catalog, after="ada")] == [
        ("bo", "ada", False), ("zoe", "ada", False),
    ]  # fmt: skip
    assert people.find(catalog, "ada") == ada
    with pytest.raises(NotFound):
        people.find(catalog, "nobody")


def test_right_wrong_unknown_and_deactivated(catalog: Catalog, ada: people.User) -> None:
    people.add_user(catalog, "gone", GOOD)
    people.deactivate(catalog, "gone")
    assert people.check_password(catalog, "ada", GOOD) == ada
    told = set()
    for name, password in (
        ("ada", OTHER),
        ("nobody", GOOD),
        ("gone", GOOD),
        ("ada", "x" * 5000),
        ("ada", "\ud800"),
    ):
        with pytest.raises(Unauthenticated) as refused:
            people.check_password(catalog, name, password)
        told.add((type(refused.value), str(refused.value)))
    assert len(told) == 1


def test_an_unknown_name_is_as_much_work(
    catalog: Catalog, ada: people.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    hasher = passwords.HASHER

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            verified.append(str(hash)[:30])
            return hasher.verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Counting(time_cost=1, memory_cost=8, parallelism=1))
    for name in ("ada", "nobody"):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, name, OTHER)
    assert len(verified) == 2
    assert verified[0][:25] == verified[1][:25], "the same parameters"


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_whoever_guesses_waits_longer_each_time(catalog: Catalog, ada: people.User, name: str) -> None:
    at = NOW
    for _ in range(lockout.FREE["user"]):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, name, OTHER, at)
    waits = []
    for _ in range(7):
        with pytest.raises(LockedOut) as refused:
            people.check_password(catalog, name, GOOD, at)
        waits.append(refused.value.seconds)
        at += (waits[-1] - 1) * SECOND
        with pytest.raises(TooManyRequests):
            people.check_password(catalog, name, GOOD, at)
        at += SECOND
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, name, OTHER, at)
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert people.check_password(catalog, "ada", GOOD, at + 901 * SECOND).name == "ada"


def test_a_right_password_forgets_the_failures(catalog: Catalog, ada: people.User) -> None:
    for _ in range(3):
        for _ in range(lockout.FREE["user"] - 1):
            with pytest.raises(Unauthenticated):
                people.check_password(catalog, "ada", OTHER, NOW, address="10.0.0.1")
        people.check_password(catalog, "ada", GOOD, NOW, address="10.0.0.1")


def test_an_address_that_guesses_at_many_names_is_locked_out(catalog: Catalog, ada: people.User) -> None:
    for number in range(lockout.FREE["address"]):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, f"guess{number}", OTHER, NOW, address="10.0.0.1")
    with pytest.raises(LockedOut):
        people.check_password(catalog, "ada", GOOD, NOW, address="10.0.0.1")
    assert people.check_password(catalog, "ada", GOOD, NOW, address="10.0.0.2").name == "ada"


def test_an_own_account_does_not_wash_an_address_clean(catalog: Catalog, ada: people.User) -> None:
    for number in range(lockout.FREE["address"] - 1):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, f"guess{number}", OTHER, NOW, address="10.0.0.1")
        people.check_password(catalog, "ada", GOOD, NOW, address="10.0.0.1")
    with pytest.raises(Unauthenticated):
        people.check_password(catalog, "guess", OTHER, NOW, address="10.0.0.1")
    with pytest.raises(LockedOut):
        people.check_password(catalog, "ada", GOOD, NOW, address="10.0.0.1")


def test_many_tries_at_once_are_no_way_round(catalog: Catalog, ada: people.User) -> None:
    def guess(number: int) -> type[Exception]:
        with pytest.raises(NotAllowed) as refused:
            people.check_password(catalog, "ada", f"guess number {number}", NOW)
        return refused.type

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(24)))
    assert answers.count(Unauthenticated) == lockout.FREE["user"]
    assert answers.count(LockedOut) == 24 - lockout.FREE["user"]


def test_a_crowd_is_sent_away_before_it_counts(catalog: Catalog, ada: people.User) -> None:
    """Whoever waits for a place stands in a thread that answers everybody else as well."""
    with ExitStack() as crowd:
        for _ in range(passwords.WAITING):
            crowd.enter_context(passwords.place())
        for _ in range(2 * lockout.FREE["user"]):
            with pytest.raises(Busy, match="log in"):
                people.check_password(catalog, "ada", GOOD, NOW)
    assert people.check_password(catalog, "ada", GOOD, NOW).name == "ada"


def test_an_administrator_unlocks(catalog: Catalog, ada: people.User) -> None:
    for _ in range(lockout.FREE["user"]):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, "ada", OTHER, NOW)
    with pytest.raises(LockedOut):
        people.check_password(catalog, "ada", GOOD, NOW)
    people.unlock(catalog, "ada")
    assert people.check_password(catalog, "ada", GOOD, NOW).name == "ada"
    with pytest.raises(NotFound):
        people.unlock(catalog, "nobody")


def test_guesses_are_counted_under_hashes_and_forgotten(catalog: Catalog) -> None:
    for number in range(30):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, f"my secret {number}", OTHER, NOW)
    with catalog.reading() as connection:
        kept = {bytes(row[0]) for row in connection.execute(select(LOGIN_FAILURES.c.subject))}
    assert hashlib.sha256(b"user\0my secret 7").digest() in kept
    with pytest.raises(Unauthenticated):
        people.check_password(catalog, "x", OTHER, NOW + lockout.WINDOW + 1)
    with catalog.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM login_failures")).scalar() == 1


def test_hashes_are_made_anew_when_parameters_change(
    catalog: Catalog, ada: people.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    people.check_password(catalog, "ada", GOOD)
    with catalog.reading() as connection:
        kept = connection.execute(select(USERS.c.password)).scalar_one()
    assert "m=16,t=2,p=1" in kept
    assert people.check_password(catalog, "ada", GOOD).name == "ada"


def test_whoever_chose_a_password_that_may_not_be_chosen_any_more_logs_in(
    catalog: Catalog, ada: people.User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(passwords, "_is_easy", lambda *_: False)
        people.set_password(catalog, "ada", "password123")
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert people.check_password(catalog, "ada", "password123").name == "ada"
    with catalog.reading() as connection:
        assert "m=16,t=2,p=1" in connection.execute(select(USERS.c.password)).scalar_one()


def test_changing_a_password_ends_other_sessions(catalog: Catalog, ada: people.User) -> None:
    mine, other = (sessions.make(catalog, ada, device=device) for device in ("laptop", "phone"))
    token = tokens.make(catalog, ada, wire.NewToken("ci"))
    with pytest.raises(Unauthenticated):
        people.change_password(catalog, "ada", OTHER, OTHER)
    with pytest.raises(UsageError):
        people.change_password(catalog, "ada", GOOD, "short")
    changed = people.change_password(catalog, "ada", GOOD, OTHER, keep_session=mine.id)
    assert changed.edition == ada.edition + 1
    assert sessions.find(catalog, mine.secret)[0].name == "ada"
    with pytest.raises(Unauthenticated):
        sessions.find(catalog, other.secret)
    assert tokens.find(catalog, token.secret or "")[0].name == "ada"
    with pytest.raises(Unauthenticated):
        people.check_password(catalog, "ada", GOOD)
    assert people.check_password(catalog, "ada", OTHER).name == "ada"


def test_a_password_set_anew_unlocks(catalog: Catalog, ada: people.User) -> None:
    for _ in range(lockout.FREE["user"]):
        with pytest.raises(Unauthenticated):
            people.check_password(catalog, "ada", OTHER, NOW)
    people.set_password(catalog, "ada", OTHER, NOW)
    assert people.check_password(catalog, "ada", OTHER, NOW).password_at == NOW
    with pytest.raises(NotFound):
        people.set_password(catalog, "nobody", OTHER)


def test_deactivated_users_are_out_at_once(catalog: Catalog, ada: people.User) -> None:
    bo = people.add_user(catalog, "bo", GOOD)
    session, token = sessions.make(catalog, bo), tokens.make(catalog, bo, wire.NewToken("ci"))
    gone = people.deactivate(catalog, "bo", NOW, edition=bo.edition)
    assert (gone.active, gone.deactivated_at) == (False, NOW)
    assert people.deactivate(catalog, "bo", NOW + 1).deactivated_at == NOW
    with pytest.raises(Unauthenticated):
        sessions.find(catalog, session.secret)
    with pytest.raises(Unauthenticated):
        tokens.find(catalog, token.secret or "")
    with pytest.raises(LostRace):
        people.reactivate(catalog, "bo", edition=bo.edition)
    assert people.reactivate(catalog, "bo").active
    assert tokens.find(catalog, token.secret or "")[0].name == "bo"


def test_the_last_administrator_stays(catalog: Catalog, ada: people.User) -> None:
    people.add_user(catalog, "bo", GOOD)
    for act in (
        lambda: people.deactivate(catalog, "ada"),
        lambda: people.set_admin(catalog, "ada", admin=False),
    ):
        with pytest.raises(InUse):
            act()
    assert people.set_admin(catalog, "bo", admin=True).admin
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(people.set_admin, catalog, name, admin=False) for name in ("ada", "bo")]
    assert sum(isinstance(future.exception(), InUse) for future in both) == 1
    assert sum(user.admin for user in people.page(catalog)) == 1
