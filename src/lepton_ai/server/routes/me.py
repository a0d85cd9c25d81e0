"""Who asks: the own account and its password."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import people
from lepton_ai.server.access import SCOPES, allow
from lepton_ai.server.auth import Reader, Writer
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.places import address_of
from lepton_ai.server.running import Here

router = APIRouter(prefix="/me", tags=["me"])


@router.get("", summary="Who am I?")
def me(caller: Reader) -> Told[wire.Me]:
    """The user that the token or session stands for, and what it may do."""
    allow(caller, "self")
    scopes = tuple(scope for scope in SCOPES if scope in caller.scopes)
    return wire.Me(caller.user, caller.admin, scopes)


@router.put("/password", summary="Change one's own password", status_code=204, response_class=Response)
def change_password(body: Sent[wire.NewPassword], request: Request, here: Here, caller: Writer) -> Response:
    """Needs the old one. All other sessions end; tokens stay."""
    allow(caller, "self-change")
    address = address_of(request.scope)
    here.limits.login(address)
    kept = caller.credential if caller.via == "session" else None
    people.change_password(here.catalog, caller.user, body.old, body.new, address=address, keep_session=kept)
    return Response(status_code=204)
