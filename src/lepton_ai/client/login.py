"""Logging in to a server for a token that is kept, and out again."""

from __future__ import annotations

import os

from lepton_ai import wire
from lepton_ai.client import credentials
from lepton_ai.client.connection import Connection
from lepton_ai.errors import Forbidden, NotAllowed, NotFound, Unauthenticated, UsageError

EVERYTHING = ("read", "write", "admin")
DAYS = 90
"""Days until the token of a login ends."""


def by_password(server: str, user: str, password: str, *, days: int = DAYS) -> wire.Me:
    """Log in to the server at its address; the token is kept, the password is not.

    Raises:
        Unauthenticated: the name or the password is wrong. TooManyRequests: there were too many failures.
    """
    connection = Connection(server, hurried=True)
    try:
        token = _token(connection, user, password, days)
    except (NotFound, Unauthenticated) as problem:
        path = server.partition("//")[2].partition("/")[2]
        if "/" not in path:
            if isinstance(problem, NotFound):
                raise
            hint = "type them again; an administrator sets a new one: lepton user password NAME"
            raise Unauthenticated(
                problem.message, hint=hint
            ) from problem  # that it takes a login is no help here
        alone = server.removesuffix(
            f"/{path}"
        )  # the address of a repository, perhaps: it does not say who we are
        raise type(problem)(
            problem.message, hint=f"if that is a repository, name its server: lepton login {alone}"
        ) from problem
    finally:
        connection.close()
    if token.secret is None:
        raise UsageError(f"{server} gave no token", hint="is one of both much older than the other?")
    return by_token(server, token.secret)


def _token(connection: Connection, user: str, password: str, days: int) -> wire.Token:
    named = f"lepton login on {os.uname().nodename}"[:100]
    for scopes in (EVERYTHING, EVERYTHING[:2], EVERYTHING[:1]):
        asked = wire.TokenLogin(user, password, wire.NewToken(named, scopes, days))
        try:
            made: wire.Token = connection.call("POST", "/login/token", asked, wire.Token)
        except (Forbidden, UsageError) as problem:
            if scopes == EVERYTHING[:1] or (
                isinstance(problem, NotAllowed) and not isinstance(problem, Forbidden)
            ):
                raise
            continue
        return made
    raise AssertionError("unreachable")


def by_token(server: str, token: str) -> wire.Me:
    """Keep a token that was made elsewhere, once the server knows it.

    Raises:
        Unauthenticated: it does not.
    """
    connection = Connection(server, token, hurried=True)
    try:
        me: wire.Me = connection.call("GET", "/me", None, wire.Me)
    finally:
        connection.close()
    credentials.keep(server, me.user, token)
    return me


def out(server: str) -> None:
    """End the login that is kept: the token is revoked, and forgotten here in any case.

    Raises:
        NotFound: none is kept.
    """
    token = credentials.kept(server)
    if not credentials.forget(server):
        raise NotFound(f"you are not logged in to {server}", hint="nothing needs to be done")
    connection = Connection(server, token)
    try:
        connection.call("POST", "/logout", repeat=True)
    except NotAllowed:
        return  # it had ended already
    finally:
        connection.close()
