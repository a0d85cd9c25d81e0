"""The repositories of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.proposals import check_name
from lepton_ai.catalog.repositories import Row
from lepton_ai.errors import LostRace
from lepton_ai.history.changes import branches
from lepton_ai.history.changes.attempt import Act, attempt, now
from lepton_ai.history.lines import MAIN, Lines
from lepton_ai.server.access import Caller, allow
from lepton_ai.server.asked import WHERE, Keeping, Reading
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.cursors import Cursor, Limit, decode, encode
from lepton_ai.server.etags import IfMatch, check
from lepton_ai.server.homes import is_readable
from lepton_ai.server.keeping_keys import complete
from lepton_ai.server.problems import Changed
from lepton_ai.server.running import Here, Running

router = APIRouter(tags=["repositories"])


class ChangeRepository(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be changed; what is left out stays."""

    owner: str | None = None
    name: str | None = None
    description: str | None = None


@router.get("/repositories", summary="The repositories of the server")
def list_repositories(
    request: Request,
    here: Here,
    owner: Annotated[str | None, Query(description="Only those of one owner")] = None,
    after: Cursor = None,
    limit: Limit = 100,
) -> Told[wire.Repositories]:
    """By owner and name. ``next`` continues."""
    caller: Caller = request.state.caller
    allow(caller, "read")
    place = decode(after, tuple[str, str])
    with here.catalog.at_once():
        found = repositories.page(here.catalog, owner=owner, after=place, limit=limit + 1)
        shown = infos_of(here, found[:limit])
    more = encode((found[limit - 1].owner, found[limit - 1].name)) if len(found) > limit else None
    return told(wire.Repositories(shown, more))


@router.post("/repositories", summary="Make a repository", status_code=201)
def create_repository(
    request: Request, here: Here, body: Sent[wire.NewRepository]
) -> Told[wire.RepositoryInfo]:
    """A new one, or the place on the server for one that a client has: then with its id and wrapped keys."""
    caller: Caller = request.state.caller
    allow(caller, "write")
    for name, what in ((body.owner, "an owner"), (body.name, "a repository")):
        check_name(name, what)
    row = repositories.create(here.catalog, complete(body, here.settings.key_file), caller.user)
    if body.id is None:
        _begin(here, row, caller.user)
    info = info_of(here, row)
    address = f"{request.url.path.rstrip('/')}/{row.owner}/{row.name}"
    return told(info, 201, {"Location": address, "ETag": info.etag})


@router.get(WHERE, summary="A repository")
def show_repository(asked: Reading) -> Told[wire.RepositoryInfo]:
    """What it is; whether the server can look into its files."""
    info = info_of(asked.here, asked.row)
    return told(info, headers={"ETag": info.etag})


@router.patch(WHERE, summary="Rename or describe a repository")
def change_repository(
    asked: Keeping, body: Sent[ChangeRepository], if_match: IfMatch = None
) -> Told[wire.RepositoryInfo]:
    """Its old address ends with its old name."""
    edition = _edition(asked.row, if_match)
    try:
        row = repositories.change(
            asked.here.catalog,
            asked.row.number,
            owner=body.owner,
            name=body.name,
            description=body.description,
            edition=edition,
        )
    except LostRace as lost:
        raise Changed(lost.message, hint=lost.hint) from lost
    info = info_of(asked.here, row)
    return told(info, headers={"ETag": info.etag})


@router.delete(
    WHERE, summary="Remove a repository", status_code=204, responses={204: {"description": "It is gone"}}
)
def delete_repository(asked: Keeping, if_match: IfMatch = None) -> Response:
    """At once for everybody. An administrator can restore it for 7 days; then its rows and packs go for good."""
    edition = _edition(asked.row, if_match)
    try:
        repositories.remove(asked.here.catalog, asked.row.number, edition=edition)
    except LostRace as lost:
        raise Changed(lost.message, hint=lost.hint) from lost
    asked.here.homes.forget(asked.row)
    return Response(status_code=204)


def info_of(here: Running, row: Row) -> wire.RepositoryInfo:
    """A repository as it is told."""
    return infos_of(here, [row])[0]


def infos_of(here: Running, rows: Sequence[Row]) -> tuple[wire.RepositoryInfo, ...]:
    """Repositories as they are told; one question for the keys of all."""
    encrypted = [row.number for row in rows if row.encrypted]
    keys = repositories.key_names(here.catalog, encrypted) if encrypted else {}
    return tuple(_info(row, keys.get(row.number, [])) for row in rows)


def _info(row: Row, keys: Sequence[str]) -> wire.RepositoryInfo:
    sealing = tuple(name for name in keys if name.startswith("sealing-"))
    return wire.RepositoryInfo(
        row.owner, row.name, row.description, row.id, row.encrypted, is_readable(row, keys), row.block_size,
        row.format, row.created, row.etag, sealing,
    )  # fmt: skip


def _begin(here: Running, row: Row, actor: str) -> None:
    """Give a repository that begins here its first branch; one that is brought brings its own."""
    lines = Lines(here.homes.history(row))
    attempt(lines.history, lambda: branches.create(lines, MAIN, Act(actor, now()), exist_ok=True))


def _edition(row: Row, if_match: str | None) -> int | None:
    """The edition that was read, when the caller says which.

    Raises:
        Changed: it is another by now (412).
    """
    check(if_match, row.etag, f"{row.owner}/{row.name}")
    return None if if_match is None or "*" in if_match else row.edition
