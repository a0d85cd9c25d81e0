"""One's own API tokens."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import people, tokens
from lepton_ai.errors import Forbidden
from lepton_ai.server import cursors
from lepton_ai.server.access import allow
from lepton_ai.server.auth import Reader, Writer
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.running import Here

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.get("", summary="List one's own tokens")
def list_tokens(here: Here, caller: Reader, limit: Limit = 100, after: Cursor = None) -> Told[wire.Tokens]:
    """Tokens that are not revoked, without their secrets."""
    allow(caller, "self")
    place = cursors.decode(after, str) or ""
    found = tokens.page(here.catalog, people.find(here.catalog, caller.user), after=place, limit=limit + 1)
    following = cursors.encode(found[limit - 1].id) if len(found) > limit else None
    return wire.Tokens(tuple(found[:limit]), following)


@router.post("", summary="Make a token", status_code=201)
def make_token(body: Sent[wire.NewToken], here: Here, caller: Writer) -> Told[wire.Token]:
    """Its secret is told this once. Only a session may: a token that leaks must not be able to outlive its end."""
    allow(caller, "self-change")
    if caller.via != "session":
        raise Forbidden("a token cannot make tokens", hint="log in by password: POST /api/v1/login/token")
    user = people.find(here.catalog, caller.user)
    return told(tokens.make(here.catalog, user, body), 201, {"Cache-Control": "no-store"})


@router.delete("/{token}", summary="Revoke a token", status_code=204, response_class=Response)
def revoke_token(token: str, here: Here, caller: Writer) -> Response:
    """It stops working at once."""
    allow(caller, "self-change")
    tokens.revoke(here.catalog, people.find(here.catalog, caller.user), token)
    return Response(status_code=204)
