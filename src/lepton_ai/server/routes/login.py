"""Logging in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import people, sessions, tokens
from lepton_ai.catalog.lockout import LockedOut
from lepton_ai.catalog.people import User
from lepton_ai.server.access import SCOPES, allow
from lepton_ai.server.auth import Reader, cookie_name
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.places import address_of
from lepton_ai.server.problems import RateExceeded
from lepton_ai.server.running import Here, Running

router = APIRouter(tags=["login"])

Agent = Annotated[str, Header(alias="User-Agent", max_length=2000, include_in_schema=False)]


@router.post("/login", summary="Log in with a browser")
def log_in(body: Sent[wire.Login], request: Request, here: Here, agent: Agent = "") -> Told[wire.LoggedIn]:
    """Begin a session by password. The session's secret comes as a cookie that scripts cannot read; no login needed.

    An unknown name and a wrong password get the same answer (401). Too many failures answer 429.
    """
    user, headers = _by_password(here, request, body.user, body.password)
    begun = sessions.make(here.catalog, user, device=body.device or agent, address=address_of(request.scope))
    scopes = SCOPES if user.admin else SCOPES[:2]
    cookie = Response()
    cookie.set_cookie(
        cookie_name(request.url.scheme),
        begun.secret,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
        max_age=max(0, (begun.expires_at - people.now()) // 1_000_000),
    )
    logged_in = wire.LoggedIn(user.name, user.admin, scopes, begun.csrf, begun.expires_at)
    more = {"Set-Cookie": cookie.headers["set-cookie"], "Cache-Control": "no-store"}
    return told(logged_in, headers={**headers, **more})


@router.post("/login/token", summary="Log in with a program", status_code=201)
def log_in_for_a_token(body: Sent[wire.TokenLogin], request: Request, here: Here) -> Told[wire.Token]:
    """Make a token by password; its secret is told this once. No login needed."""
    user, headers = _by_password(here, request, body.user, body.password)
    token = tokens.make(here.catalog, user, body.token)
    return told(token, 201, {**headers, "Cache-Control": "no-store"})


@router.post("/logout", summary="Log out", status_code=204, response_class=Response)
def log_out(request: Request, here: Here, caller: Reader) -> Response:
    """End the session, or revoke the token, that this request was sent with."""
    allow(caller, "self")
    user = people.find(here.catalog, caller.user)
    answer = Response(status_code=204)
    if caller.via == "token":
        tokens.revoke(here.catalog, user, caller.credential)
    else:
        sessions.end(here.catalog, user, caller.credential)
        answer.delete_cookie(
            cookie_name(request.url.scheme),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return answer


def _by_password(here: Running, request: Request, name: str, password: str) -> tuple[User, Mapping[str, str]]:
    headers = here.limits.login(address_of(request.scope))
    try:
        user = people.check_password(here.catalog, name, password, address=address_of(request.scope))
    except LockedOut as problem:
        here.metrics.refused.labels("locked-out").inc()
        raise RateExceeded(problem.message, {"Retry-After": str(problem.seconds)}) from problem
    return user, headers
