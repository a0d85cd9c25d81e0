"""Browser sessions: a secret in a cookie, a CSRF token, and an end, when idle and in any case."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from lepton_ai.catalog import bearer
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.people import COLUMNS as USER_COLUMNS
from lepton_ai.catalog.people import User, now
from lepton_ai.catalog.tables.people import SESSIONS, USERS
from lepton_ai.errors import NotFound, Unauthenticated

IDLE = 24 * 3600 * 1_000_000
ABSOLUTE = 14 * 24 * 3600 * 1_000_000
"""Microseconds without a request, and in all, after which a session ends."""
_SEEN_EVERY = 300_000_000
_LONGEST_TEXT = 200
_SESSION = tuple(
    SESSIONS.c[name] for name in ("id", "device", "address", "created_at", "seen_at", "expires_at")
)


class Session(msgspec.Struct, frozen=True):
    """A session as its user sees it. Times in microseconds since 1970 (UTC)."""

    id: str
    device: str
    address: str
    created_at: int
    seen_at: int
    expires_at: int


class Opened(msgspec.Struct, frozen=True):
    """A new session: ``secret`` for the cookie (HttpOnly), ``csrf`` for the page."""

    id: str
    secret: str
    csrf: str
    expires_at: int

    def __repr__(self) -> str:
        return f"<Opened {self.id}>"


def make(
    catalog: Catalog, user: User, *, device: str = "", address: str = "", at: int | None = None
) -> Opened:
    """Begin a session of ``user``."""
    start, secret = now() if at is None else at, bearer.make()
    row = {
        "id": secret.id,
        "owner": user.number,
        "hash": secret.hash,
        "device": device[:_LONGEST_TEXT],
        "address": address[:_LONGEST_TEXT],
        "created_at": start,
        "seen_at": start,
        "expires_at": start + ABSOLUTE,
    }

    def act(connection: Connection) -> None:
        connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_at <= start))
        connection.execute(insert(SESSIONS), row)

    catalog.write(act)
    return Opened(secret.id, secret.secret, bearer.csrf(secret), start + ABSOLUTE)


def find(catalog: Catalog, secret: str, at: int | None = None) -> tuple[User, str]:
    """Whose session this is, and its CSRF token.

    Raises:
        Unauthenticated: it is none or has ended, or its user was deactivated.
    """
    given, moment = bearer.read(secret), now() if at is None else at
    row = _row(catalog, given.id) if given else None
    if row is None or given is None or not bearer.same(row.hash, given):
        raise _ended()
    user = User(*row[: len(USER_COLUMNS)])
    if row.expires_at <= moment or row.seen_at + IDLE <= moment or not user.active:
        raise _ended()
    if row.seen_at + _SEEN_EVERY <= moment:
        catalog.write(lambda connection: _seen(connection, given.id, moment))
    return user, bearer.csrf(given)


def page(catalog: Catalog, user: User, *, at: int | None = None) -> list[Session]:
    """The user's sessions that have not ended, the one used last first."""
    moment = now() if at is None else at
    living = (SESSIONS.c.expires_at > moment, SESSIONS.c.seen_at > moment - IDLE)
    query = select(*_SESSION).where(SESSIONS.c.owner == user.number, *living)
    with catalog.reading() as connection:
        rows = connection.execute(query.order_by(SESSIONS.c.seen_at.desc(), SESSIONS.c.id).limit(1000))
        return [Session(*row) for row in rows]


def end(catalog: Catalog, user: User, session_id: str) -> None:
    """End a session of ``user``.

    Raises:
        NotFound: there is none.
    """
    mine = delete(SESSIONS).where(SESSIONS.c.owner == user.number, SESSIONS.c.id == session_id)
    if not catalog.write(lambda connection: connection.execute(mine).rowcount):
        raise NotFound(f"there is no session {session_id!r}", hint="see the list of sessions")


def end_all(catalog: Catalog, user: User, *, keep: str | None = None) -> int:
    """End all sessions of ``user`` but the one with the id ``keep``; how many ended."""
    all_ = delete(SESSIONS).where(SESSIONS.c.owner == user.number)
    wanted = all_ if keep is None else all_.where(SESSIONS.c.id != keep)
    return catalog.write(lambda connection: connection.execute(wanted).rowcount)


def _row(catalog: Catalog, session_id: str) -> Any:
    query = select(*USER_COLUMNS, SESSIONS.c.hash, SESSIONS.c.seen_at, SESSIONS.c.expires_at)
    query = query.join(SESSIONS, SESSIONS.c.owner == USERS.c.number)
    with catalog.reading() as connection:
        return connection.execute(query.where(SESSIONS.c.id == session_id)).first()


def _seen(connection: Connection, session_id: str, at: int) -> None:
    later = (SESSIONS.c.id == session_id, SESSIONS.c.seen_at < at)
    connection.execute(update(SESSIONS).where(*later).values(seen_at=at))


def _ended() -> Unauthenticated:
    return Unauthenticated("this session has ended", hint="log in again")
