"""One's own sessions in browsers."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import people, sessions
from lepton_ai.server.access import allow
from lepton_ai.server.auth import Reader, Writer
from lepton_ai.server.bodies import Told
from lepton_ai.server.running import Here

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.get("", summary="List one's own sessions")
def list_sessions(here: Here, caller: Reader) -> Told[wire.Sessions]:
    """Where one is logged in with a browser."""
    allow(caller, "self")
    found = sessions.page(here.catalog, people.find(here.catalog, caller.user))
    current = caller.credential if caller.via == "session" else None
    listed = (msgspec.structs.asdict(one) | {"current": one.id == current} for one in found)
    return wire.Sessions(tuple(wire.Session(**one) for one in listed))


@router.delete("", summary="End all other sessions", status_code=204, response_class=Response)
def end_sessions(here: Here, caller: Writer) -> Response:
    """All but the one that asks."""
    allow(caller, "self-change")
    kept = caller.credential if caller.via == "session" else None
    sessions.end_all(here.catalog, people.find(here.catalog, caller.user), keep=kept)
    return Response(status_code=204)


@router.delete("/{session}", summary="End a session", status_code=204, response_class=Response)
def end_session(session: str, here: Here, caller: Writer) -> Response:
    """It stops working at once."""
    allow(caller, "self-change")
    sessions.end(here.catalog, people.find(here.catalog, caller.user), session)
    return Response(status_code=204)
