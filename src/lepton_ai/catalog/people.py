"""Users: who they are, their passwords, and what ends when they go."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lepton_ai.catalog import lockout, passwords
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.people import SESSIONS, USERS
from lepton_ai.errors import AlreadyExists, InUse, InvalidName, LostRace, NotFound, Unauthenticated

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SELECT = ("number", "name", "admin", "created_at", "created_by", "deactivated_at", "edition", "password_at")


class User(msgspec.Struct, frozen=True):
    """A user. Times in microseconds since 1970 (UTC); ``edition`` grows with every change."""

    number: int
    name: str
    admin: bool
    created_at: int
    created_by: str
    deactivated_at: int | None
    edition: int
    password_at: int

    @property
    def active(self) -> bool:
        """May log in."""
        return self.deactivated_at is None

    @property
    def etag(self) -> str:
        """Changes with the user."""
        return f'"{self.number}-{self.edition}"'


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def check_name(name: str) -> str:
    """Return ``name`` if a user may be called so.

    Raises:
        InvalidName.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidName(
            f"{name!r} cannot name a user", hint="use a-z, 0-9, '.', '_' and '-', at most 64, and no capitals"
        )
    return name


def add_user(catalog: Catalog, name: str, password: str, admin: bool = False, created_by: str = "") -> User:
    """Add a user, who can log in from now on.

    Raises:
        InvalidName: see :func:`check_name`. UsageError: the password is too short, too long or too easy.
        AlreadyExists: there is, or was, a user of this name: what it did stays its own.
    """
    kept = passwords.hashed(passwords.check(password, check_name(name)))
    at = now()
    new = {"name": name, "admin": admin, "created_at": at, "created_by": created_by, "edition": 1}

    def act(connection: Connection) -> User:
        if connection.execute(_named(name)).first():
            raise _taken(name)
        try:
            connection.execute(insert(USERS), new | {"password": kept, "password_at": at})
        except IntegrityError as problem:
            raise _taken(name) from problem
        return _user(connection.execute(_named(name)).one())

    return catalog.write(act)


def find(catalog: Catalog, name: str) -> User:
    """The user called ``name``, active or not.

    Raises:
        NotFound.
    """
    with catalog.reading() as connection:
        return _found(connection, name)


def page(catalog: Catalog, *, after: str = "", limit: int = 100) -> list[User]:
    """Users by name; ``after`` continues a page."""
    query = select(*COLUMNS).where(USERS.c.name > after).order_by(USERS.c.name).limit(limit)
    with catalog.reading() as connection:
        return [_user(row) for row in connection.execute(query)]


def check_password(
    catalog: Catalog, name: str, password: str, now: int | None = None, *, address: str = ""
) -> User:
    """The user who logs in by password, ``address`` being where from.

    An unknown name, a wrong password and a deactivated user give the same error after the same work.

    Raises:
        Unauthenticated: one of them is wrong.
        TooManyRequests (:class:`~lepton_ai.catalog.lockout.LockedOut`): there were too many failures.
        Busy: too many people log in at once; this try does not count.
    """
    at = _at(now)
    counted = lockout.subjects(name, address)
    with passwords.place():
        catalog.write(lambda connection: lockout.count(connection, counted, at))
        with catalog.reading() as connection:
            row = connection.execute(_named(name, USERS.c.password)).first()
        right = passwords.matches(row.password if row else None, password)
    if row is None or not right or row.deactivated_at is not None:
        raise Unauthenticated(
            "the name or the password is wrong", hint="passwords are set anew by administrators"
        )
    newer = passwords.rehashed(password) if passwords.outdated(row.password) else None

    def act(connection: Connection) -> None:
        lockout.forgive(connection, name, address, at)
        if newer is not None:
            same = (USERS.c.number == row.number, USERS.c.password == row.password)
            connection.execute(update(USERS).where(*same).values(password=newer))

    catalog.write(act)
    return _user(row[: len(_SELECT)])


def change_password(
    catalog: Catalog,
    name: str,
    old: str,
    new: str,
    now: int | None = None,
    *,
    address: str = "",
    keep_session: str | None = None,
) -> User:
    """Change one's own password: ends all sessions but the one with the id ``keep_session``. Tokens stay.

    Raises:
        Unauthenticated: the old one is wrong. TooManyRequests: too often.
        UsageError: the new one may not be chosen.
    """
    check_password(catalog, name, old, now, address=address)
    return set_password(catalog, name, new, now, keep_session=keep_session)


def set_password(
    catalog: Catalog, name: str, new: str, now: int | None = None, *, keep_session: str | None = None
) -> User:
    """Give a user another password, as administrators may; ends the sessions, and the user is unlocked.

    Raises:
        NotFound. UsageError: it may not be chosen.
    """
    kept, at = passwords.hashed(passwords.check(new, name)), _at(now)

    def act(connection: Connection) -> User:
        user = _found(connection, name, lock=True)
        ended = delete(SESSIONS).where(SESSIONS.c.owner == user.number)
        connection.execute(ended if keep_session is None else ended.where(SESSIONS.c.id != keep_session))
        lockout.forget(connection, name)
        return _changed(connection, user, password=kept, password_at=at)

    return catalog.write(act)


def unlock(catalog: Catalog, name: str) -> None:
    """Let a user try to log in again at once.

    Raises:
        NotFound.
    """
    find(catalog, name)
    catalog.write(lambda connection: lockout.forget(connection, name))


def set_admin(catalog: Catalog, name: str, admin: bool, *, edition: int | None = None) -> User:
    """Make a user an administrator, or no longer. ``edition``: as for :func:`deactivate`.

    Raises:
        InUse: nobody would be one. NotFound. LostRace.
    """

    def act(connection: Connection) -> User:
        administrators = _administrators(connection)
        user = _found(connection, name, edition=edition, lock=True)
        if not admin:
            _refuse_last(user, administrators)
        return _changed(connection, user, admin=admin)

    return catalog.write(act)


def deactivate(catalog: Catalog, name: str, now: int | None = None, *, edition: int | None = None) -> User:
    """Keep a user out: no login, and tokens and sessions stop at once. The name stays taken.

    ``edition`` is the one that was read: the change is refused when there was another since.

    Raises:
        InUse: it is the last administrator. NotFound. LostRace.
    """
    at = _at(now)

    def act(connection: Connection) -> User:
        administrators = _administrators(connection)
        user = _found(connection, name, edition=edition, lock=True)
        _refuse_last(user, administrators)
        connection.execute(delete(SESSIONS).where(SESSIONS.c.owner == user.number))
        return _changed(connection, user, deactivated_at=user.deactivated_at or at)

    return catalog.write(act)


def reactivate(catalog: Catalog, name: str, *, edition: int | None = None) -> User:
    """Let a deactivated user in again: the password and tokens that have not expired work again.

    Raises:
        NotFound. LostRace.
    """

    def act(connection: Connection) -> User:
        user = _found(connection, name, edition=edition, lock=True)
        return _changed(connection, user, deactivated_at=None)

    return catalog.write(act)


def count(catalog: Catalog) -> int:
    """How many users there are."""
    with catalog.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(USERS)).scalar_one())


COLUMNS = tuple(USERS.c[name] for name in _SELECT)


def _at(given: int | None) -> int:
    return now() if given is None else given


def _named(name: str, *more: Any) -> Select[Any]:
    return select(*COLUMNS, *more).where(USERS.c.name == name)


def _found(connection: Connection, name: str, *, edition: int | None = None, lock: bool = False) -> User:
    query = _named(name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no user {name!r}", hint="see the list of users")
    user = _user(row)
    if edition is not None and edition != user.edition:
        raise LostRace(
            f"user {name!r} was changed by somebody else meanwhile", hint="read it again, then repeat"
        )
    return user


def _administrators(connection: Connection) -> list[int]:
    """The active administrators, kept so until the transaction ends: of two, not both may go at once."""
    query = select(USERS.c.number).where(USERS.c.admin.is_(True), USERS.c.deactivated_at.is_(None))
    return [row[0] for row in connection.execute(query.order_by(USERS.c.number).with_for_update())]


def _refuse_last(user: User, administrators: list[int]) -> None:
    if administrators == [user.number]:
        raise InUse(f"{user.name!r} is the last administrator", hint="make somebody else one first")


def _changed(connection: Connection, user: User, **values: Any) -> User:
    connection.execute(
        update(USERS).where(USERS.c.number == user.number).values(**values, edition=user.edition + 1)
    )
    return _user(connection.execute(_named(user.name)).one())


def _user(row: Any) -> User:
    return User(*row)


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"there is a user {name!r} already", hint="choose another name")
