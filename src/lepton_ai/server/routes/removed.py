"""Repositories that were removed: listed, and brought back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from lepton_ai import wire
from lepton_ai.catalog import people, purging
from lepton_ai.catalog.repositories import Row
from lepton_ai.history.record import timestamp
from lepton_ai.server.access import allow
from lepton_ai.server.auth import Admin
from lepton_ai.server.bodies import Told, told
from lepton_ai.server.cursors import Cursor, Limit, decode, encode
from lepton_ai.server.routes.repositories import info_of
from lepton_ai.server.running import Here
from lepton_ai.server.tidying import GRACE

router = APIRouter(prefix="/removed-repositories", tags=["repositories"])

MARGIN = 3600 * 1_000_000
"""Microseconds before the end in which nothing is brought back: the clocks of two servers differ."""
Number = Annotated[int, Path(ge=1, le=2**53, description="Its `number` in the list")]


@router.get("", summary="Repositories that were removed")
def list_removed(
    here: Here, caller: Admin, after: Cursor = None, limit: Limit = 100
) -> Told[wire.RemovedRepositories]:
    """The one that was made last first. ``next`` continues."""
    allow(caller, "admin")
    found = purging.page(here.catalog, before=decode(after, int), limit=limit + 1)
    more = encode(found[limit - 1].number) if len(found) > limit else None
    return told(wire.RemovedRepositories(tuple(_line(row) for row in found[:limit]), more))


@router.post("/{number}/restore", summary="Bring a removed repository back")
def restore(number: Number, here: Here, caller: Admin) -> Told[wire.RepositoryInfo]:
    """Under its name, with everything that it had. 409 when another one has the name: rename that first."""
    allow(caller, "admin")
    row = purging.restore(here.catalog, number, people.now() - GRACE + MARGIN)
    info = info_of(here, row)
    return told(info, headers={"ETag": info.etag})


def _line(row: Row) -> wire.RemovedRepository:
    at = row.changed_at
    return wire.RemovedRepository(
        row.number, row.owner, row.name, row.description, timestamp(at), timestamp(at + GRACE - MARGIN)
    )
