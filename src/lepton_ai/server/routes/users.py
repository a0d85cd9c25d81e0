"""Users, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import people
from lepton_ai.errors import LostRace, UsageError
from lepton_ai.server import cursors, etags, local_people
from lepton_ai.server.access import allow
from lepton_ai.server.auth import Admin
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.etags import IfMatch
from lepton_ai.server.problems import Changed
from lepton_ai.server.running import Here

router = APIRouter(prefix="/users", tags=["users"])

Name = Annotated[str, Path(max_length=200, description="The user's name")]


@router.get("", summary="List users")
def list_users(here: Here, caller: Admin, limit: Limit = 100, after: Cursor = None) -> Told[wire.Users]:
    """All of them, deactivated ones too, by name."""
    allow(caller, "admin")
    found = people.page(here.catalog, after=cursors.decode(after, str) or "", limit=limit + 1)
    following = cursors.encode(found[limit - 1].name) if len(found) > limit else None
    return wire.Users(tuple(local_people.told(user) for user in found[:limit]), following)


@router.post("", summary="Add a user", status_code=201)
def add_user(body: Sent[wire.NewUser], here: Here, caller: Admin) -> Told[wire.User]:
    """Who can log in from now on with the password given."""
    allow(caller, "admin")
    user = people.add_user(here.catalog, body.name, body.password, body.admin, caller.user)
    return told(
        local_people.told(user), 201, {"Location": f"{wire.PREFIX}/users/{user.name}", "ETag": user.etag}
    )


@router.get("/{name}", summary="Show a user")
def show_user(name: Name, here: Here, caller: Admin) -> Told[wire.User]:
    """With the ETag that a change may be tied to."""
    allow(caller, "admin")
    user = people.find(here.catalog, name)
    return told(local_people.told(user), headers={"ETag": user.etag})


@router.patch("/{name}", summary="Change a user")
def change_user(
    name: Name, body: Sent[wire.UserChange], here: Here, caller: Admin, match: IfMatch = None
) -> Told[wire.User]:
    """Make an administrator of a user or none, keep a user out (tokens and sessions stop at once), or let one in again.

    The last administrator stays one (409).
    """
    allow(caller, "admin")
    if body.admin is not None and body.active is not None:
        raise UsageError("one change at a time: admin or active", hint="send two requests")
    user = people.find(here.catalog, name)
    etags.check(match, user.etag, f"the user {name!r}")
    edition = user.edition if match else None
    try:
        user = local_people.changed(here.catalog, name, body, edition=edition)
    except LostRace as problem:
        raise Changed(problem.message, hint=problem.hint) from problem
    return told(local_people.told(user), headers={"ETag": user.etag})


@router.put("/{name}/password", summary="Set a user's password", status_code=204, response_class=Response)
def set_password(name: Name, body: Sent[wire.NewPassword], here: Here, caller: Admin) -> Response:
    """For whoever forgot it. All sessions of the user end, and a lock ends too."""
    allow(caller, "admin")
    people.set_password(here.catalog, name, body.new)
    return Response(status_code=204)


@router.post("/{name}/unlock", summary="Unlock a user", status_code=204, response_class=Response)
def unlock(name: Name, here: Here, caller: Admin) -> Response:
    """Let a user who failed to log in too often try again at once."""
    allow(caller, "admin")
    people.unlock(here.catalog, name)
    return Response(status_code=204)
