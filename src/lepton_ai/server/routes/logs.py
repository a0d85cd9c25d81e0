"""Who moved what, when and why; and the graph of versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from lepton_ai.server import cursors
from lepton_ai.server.asked import WHERE, Reading
from lepton_ai.server.bodies import Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.finding import places_of
from lepton_ai.server.name_shapes import Graph, Moves
from lepton_ai.server.shapes import shaped
from lepton_ai.telling.lineage import Begin, built_upon_page, drawn_page
from lepton_ai.telling.moves import move_page

router = APIRouter(prefix=WHERE, tags=["history"])


@router.get("/log", summary="Moves of branches, tags, aliases and versions")
def log(
    asked: Reading,
    ref: Annotated[
        str,
        Query(
            description="Only this one, or this kind", examples=["branch/main", "alias/production", "tag/"]
        ),
    ] = "",
    after: Cursor = None,
    limit: Limit = 100,
) -> Told[Moves]:
    """The newest first. ``next`` continues."""
    with asked.at_once():
        found, more = move_page(asked.names, ref, before=cursors.decode(after, int), limit=limit)
    return shaped(Moves, {"moves": found, "next": None if more is None else cursors.encode(more)})


@router.get("/graph", summary="Versions with their parents")
def graph(
    asked: Reading,
    branch: Annotated[str | None, Query(description="Only what this branch is built upon")] = None,
    after: Cursor = None,
    limit: Limit = 100,
) -> Told[Graph]:
    """The newest first, each before those that it comes from. ``next`` continues."""
    more: object
    with asked.at_once():
        if branch is None:
            drawn, more = drawn_page(asked.names, before=cursors.decode(after, int), limit=limit)
        else:
            begin = cursors.decode(after, Begin) or Begin()
            drawn, more = built_upon_page(asked.names, branch, begin, places_of(asked), limit=limit)
    nodes = [
        {
            "first": each.node.id.hex(),
            "above": [parent.hex() for parent in each.node.parents],
            "name": each.record.name,
            "id": each.id,
            "branch": each.record.branch,
            "status": each.status,
            "at": each.record.created_at,
            "author": each.record.author,
            "message": each.record.message,
            "operation": each.record.operation.kind,
            "source": each.source,
            "labels": each.labels,
        }
        for each in drawn
    ]
    return shaped(Graph, {"versions": nodes, "next": None if more is None else cursors.encode(more)})
