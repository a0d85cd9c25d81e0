"""A repository's wrapped keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.errors import InvalidName, UsageError
from lepton_ai.server.asked import WHERE, Keeping, Reading
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.homes import ENVELOPE
from lepton_ai.server.keeping_keys import NAME, check_key_file

router = APIRouter(prefix=f"{WHERE}/keys", tags=["sync"])
WAY_IN = "envelope-"
"""How the names of the wrapped master key begin."""
KeyName = Annotated[str, Path(description="As in `.lepton/keys`", pattern=NAME.pattern)]


@router.get("", summary="The keys, wrapped")
def get_keys(asked: Reading) -> Told[wire.Keys]:
    """With the master key, when the server holds it: whoever may read may open what there is to read."""
    files = repositories.keys(asked.here.catalog, asked.row.number)
    master = None
    if asked.row.encrypted and asked.opened.readable:
        master = asked.opened.home.keyring.hand_over()
    return told(wire.Keys(files, master), headers={"Cache-Control": "no-store"})


@router.put(
    "/{key}", summary="Add a wrapped key", status_code=204, responses={204: {"description": "It is kept"}}
)
def put_key(asked: Keeping, key: KeyName, body: Sent[wire.KeyFile]) -> Response:
    """An envelope, or a new sealing key. One that is there is never replaced. Administrators only."""
    if body.name != key:
        raise InvalidName(f"the key is called {body.name!r} in its body and {key!r} in its address")
    check_key_file(asked.row.id, body)
    if key == ENVELOPE:
        raise UsageError(f"{ENVELOPE} is the server's own, which only it can make")
    repositories.add_key(asked.here.catalog, asked.row.number, body)
    return Response(status_code=204)


@router.delete(
    "/{key}", summary="Remove an envelope", status_code=204, responses={204: {"description": "It is gone"}}
)
def delete_key(asked: Keeping, key: KeyName) -> Response:
    """Whoever opened it before may have kept the key. Without the server's own envelope it can read no more."""
    if not key.startswith(WAY_IN):
        raise UsageError(f"{key!r} is no envelope: without it nothing could be read any more")
    repositories.remove_key(asked.here.catalog, asked.row.number, key, one_of=WAY_IN)
    if key == ENVELOPE:
        asked.here.homes.forget(asked.row)
    return Response(status_code=204)
