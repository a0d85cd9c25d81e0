"""API tokens: scoped, expiring, revocable; the secret is told once and only its hash is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.engine import Connection

from lepton_ai import wire
from lepton_ai.catalog import bearer
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.people import COLUMNS as USER_COLUMNS
from lepton_ai.catalog.people import User, now
from lepton_ai.catalog.tables.people import TOKENS, USERS
from lepton_ai.errors import Forbidden, NotFound, Unauthenticated, UsageError

SCOPES = ("read", "write", "admin")
LONGEST_DAYS = 366
LONGEST_NAME = 100
DAY = 86_400_000_000
_USED_EVERY = 300_000_000
"""Microseconds between two notes of when a token was used: not every request is to write."""
_TOKEN = tuple(
    TOKENS.c[name] for name in ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")
)


def make(catalog: Catalog, user: User, new: wire.NewToken, at: int | None = None) -> wire.Token:
    """Make a token of ``user``; the answer alone has its secret.

    Raises:
        UsageError: a scope is none, the name is empty or too long, or it would last too short or too long.
        Forbidden: the scope admin, and the user is no administrator.
    """
    scopes = tuple(scope for scope in SCOPES if scope in new.scopes)
    if not scopes or len(scopes) < len(set(new.scopes)):
        raise UsageError("the scopes of a token are among read, write and admin", hint="give at least one")
    if "admin" in scopes and not user.admin:
        raise Forbidden(f"{user.name!r} is no administrator", hint="leave out the scope admin")
    if not new.name.strip() or len(new.name) > LONGEST_NAME:
        raise UsageError(
            f"the name of a token has 1 to {LONGEST_NAME} characters", hint="say where it is used"
        )
    if not 1 <= new.days <= LONGEST_DAYS:
        raise UsageError(f"a token lasts 1 to {LONGEST_DAYS} days", hint="make a new one in time")
    start, secret = now() if at is None else at, bearer.make()
    token = wire.Token(secret.id, new.name, scopes, start, start + new.days * DAY, None, secret.secret)
    row = {
        "id": token.id,
        "owner": user.number,
        "name": token.name,
        "scopes": " ".join(scopes),
        "hash": secret.hash,
        "created_at": start,
        "expires_at": token.expires_at,
    }
    catalog.write(lambda connection: connection.execute(insert(TOKENS), row))
    return token


def find(catalog: Catalog, secret: str, at: int | None = None) -> tuple[User, tuple[str, ...]]:
    """Whose token this is, and what it may do.

    Raises:
        Unauthenticated: it is none, is revoked or has expired, or its user was deactivated.
    """
    given, moment = bearer.read(secret), now() if at is None else at
    row = _row(catalog, given.id) if given else None
    if row is None or given is None or not bearer.same(row.hash, given):
        raise _unknown()
    user = User(*row[: len(USER_COLUMNS)])
    if row.revoked_at is not None or row.expires_at <= moment or not user.active:
        raise _unknown()
    if row.last_used_at is None or row.last_used_at + _USED_EVERY <= moment:
        catalog.write(lambda connection: _used(connection, given.id, moment))
    return user, tuple(row.scopes.split())


def page(catalog: Catalog, user: User, *, after: str = "", limit: int = 100) -> list[wire.Token]:
    """The user's tokens that are not revoked, by id, without secrets; ``after`` (an id) continues a page."""
    mine = (TOKENS.c.owner == user.number, TOKENS.c.id > after, TOKENS.c.revoked_at.is_(None))
    with catalog.reading() as connection:
        rows = connection.execute(select(*_TOKEN).where(*mine).order_by(TOKENS.c.id).limit(limit))
        return [wire.Token(row[0], row[1], tuple(row[2].split()), *row[3:]) for row in rows]


def revoke(catalog: Catalog, user: User, ids: str | Sequence[str] | None, at: int | None = None) -> int:
    """End tokens of ``user``, all of them with None; how many ended.

    Raises:
        NotFound: an id is none of a token of this user.
    """
    moment = now() if at is None else at
    wanted = [ids] if isinstance(ids, str) else ids

    def act(connection: Connection) -> int:
        ended = update(TOKENS).where(TOKENS.c.owner == user.number, TOKENS.c.revoked_at.is_(None))
        if wanted is not None:
            known = select(TOKENS.c.id).where(TOKENS.c.owner == user.number, TOKENS.c.id.in_(wanted))
            missing = set(wanted) - {row[0] for row in connection.execute(known)}
            if missing:
                raise NotFound(f"there is no token {min(missing)!r}", hint="see the list of tokens")
            ended = ended.where(TOKENS.c.id.in_(wanted))
        return connection.execute(ended.values(revoked_at=moment)).rowcount

    return catalog.write(act)


def _row(catalog: Catalog, token_id: str) -> Any:
    query = select(*USER_COLUMNS, TOKENS.c.hash, TOKENS.c.scopes, TOKENS.c.expires_at, TOKENS.c.revoked_at)
    query = query.add_columns(TOKENS.c.last_used_at).join(TOKENS, TOKENS.c.owner == USERS.c.number)
    with catalog.reading() as connection:
        return connection.execute(query.where(TOKENS.c.id == token_id)).first()


def _used(connection: Connection, token_id: str, at: int) -> None:
    older = or_(TOKENS.c.last_used_at.is_(None), TOKENS.c.last_used_at < at)
    connection.execute(update(TOKENS).where(TOKENS.c.id == token_id, older).values(last_used_at=at))


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "this token is not known, has expired or was revoked", hint="lepton login makes a new one"
    )
