"""Who asks: a bearer token, or a browser's session cookie with its CSRF token.

It is asked before the address is looked at and before the body is read: what is not in :data:`OPEN` answers 401 to
whoever is not logged in, an address that does not exist too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai import wire
from lepton_ai.catalog import sessions, tokens
from lepton_ai.catalog.people import User
from lepton_ai.errors import Forbidden, LeptonError, Unauthenticated
from lepton_ai.server import hosts, limits, problems
from lepton_ai.server.access import SCOPES, Caller, allow
from lepton_ai.server.places import address_of, path_of
from lepton_ai.server.running import Running

OPEN = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",  # which asks for itself
        "/docs",
        f"{wire.PREFIX}/openapi.json",
        f"{wire.PREFIX}/login",
        f"{wire.PREFIX}/login/token",
    }
)
"""Answered without a login."""

COOKIE = "lepton_ai_session"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_open(scope: Scope) -> bool:
    """Whether the address of a request is answered without a login."""
    return path_of(scope) in OPEN


def cookie_name(scheme: str) -> str:
    """The name of the session cookie; over TLS one that only this host can set (``__Host-``)."""
    return f"__Host-{COOKIE}" if scheme == "https" else COOKIE


class Authentication:
    """ASGI middleware: puts the :class:`Caller` into the request's state, or answers 401."""

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who asks, then go on."""
        if scope["type"] != "http" or path_of(scope) in hosts.PROBES:
            return await self._app(scope, receive, send)
        try:
            headers = await self._admit(scope)
        except LeptonError as problem:
            instance = str(scope["state"].get("request_id", ""))
            answer = problems.answer(problem, instance=instance, stranger=True)
            return await answer(scope, receive, send)
        caller: Caller | None = scope["state"].get("caller")

        async def guarded(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and message["status"] < 400
                and caller
                and not caller.asked
            ):
                raise AssertionError(f"nobody was asked whether {scope['method']} {scope['path']} is allowed")
            limits.mark(message, headers)
            await send(message)

        return await self._app(scope, receive, guarded)

    async def _admit(self, scope: Scope) -> Mapping[str, str]:
        """Put the caller into the request's state, unless the address is open; headers about the rate."""
        allowance, address = self._running.limits, address_of(scope)
        if is_open(scope):
            return allowance.address(address)
        allowance.address(address, 0)  # who failed too often is not looked up any more
        try:
            caller = await run_in_threadpool(identify, self._running, Request(scope))
        except Unauthenticated:
            allowance.address(address)
            raise
        scope["state"]["caller"] = caller
        return allowance.caller(caller)


def identify(running: Running, request: Request) -> Caller:
    """Who sent ``request``.

    Raises:
        Unauthenticated: nobody that we know.
        Forbidden: a browser's request that may come from another site.
    """
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind:
        if kind.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("only bearer tokens are taken here", hint=_HINT)
        return _by_token(running, secret.strip())
    cookie = request.cookies.get(cookie_name(request.url.scheme))
    if cookie:
        return _by_session(running, request, cookie)
    raise Unauthenticated("this needs a login", hint=_HINT)


_HINT = "lepton login ADDRESS, or send a token: Authorization: Bearer lai_…"


def _by_token(running: Running, secret: str) -> Caller:
    user, scopes = tokens.find(running.catalog, secret)
    return _caller(user, frozenset(scopes), "token", secret)


def _by_session(running: Running, request: Request, cookie: str) -> Caller:
    user, csrf = sessions.find(running.catalog, cookie)
    if request.method not in SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), str(csrf).encode()):
            raise Forbidden(
                "a browser's request lacks the right CSRF token", hint=f"send the header {CSRF_HEADER}"
            )
    return _caller(user, frozenset(SCOPES), "session", cookie)


def _caller(user: User, scopes: frozenset[str], via: str, secret: str) -> Caller:
    held = scopes if user.admin else scopes - {"admin"}
    return Caller(
        user.name, user.number, user.admin, held, via, secret.split("_")[1] if "_" in secret else ""
    )


def needs(scope: str) -> Any:
    """A dependency: the caller, who must have ``scope``.

    What it is needed for, on which repository, is asked of :func:`lepton_ai.server.access.allow` by the route.
    """

    async def found(request: Request) -> Caller:  # async: for this no thread is worth waiting
        caller: Caller = request.state.caller
        if scope not in caller.scopes:
            allow(caller, scope)
        return caller

    return Depends(found)


Reader = Annotated[Caller, needs("read")]
Writer = Annotated[Caller, needs("write")]
Admin = Annotated[Caller, needs("admin")]
