"""Who may do what: the one place that is asked by every route. Roles will live behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lepton_ai.errors import Forbidden

SCOPES = ("read", "write", "admin")

ACTS: Mapping[str, str] = {
    "self": "read",  # see one's own account, tokens and sessions
    "self-change": "write",
    "read": "read",
    "write": "write",
    "admin": "admin",
}
"""An act → the scope that it needs today. Acts are words for people: ``lepton role explain`` will show them."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the user, the scopes of the token or session, and which of them (``credential`` is its id).

    ``asked`` collects what :func:`allow` was asked during this request: an answer that nobody allowed is not sent.
    """

    user: str
    number: int
    admin: bool
    scopes: frozenset[str]
    via: str = "token"
    credential: str = ""
    asked: list[str] = []


def allow(caller: Caller, act: str, repository: Any = None, object_key: str = "") -> None:  # noqa: ARG001
    """Let ``caller`` do ``act`` to ``repository`` (a row of the catalog, None: the server) and there to ``object_key``.

    Today a scope decides: who may read may read everything. Repository and object are what roles will ask for.

    Raises:
        Forbidden: says what is missing.
    """
    caller.asked.append(act)
    scope = ACTS[act]
    if scope == "admin" and not caller.admin:
        raise Forbidden(f"{caller.user} is no administrator", hint="ask an administrator")
    if scope not in caller.scopes:
        raise Forbidden(
            f"this {caller.via} may not do that: it lacks the scope {scope!r}",
            hint=f"lepton token make NAME --scope {scope}, or lepton login"
            if caller.via == "token"
            else None,
        )
