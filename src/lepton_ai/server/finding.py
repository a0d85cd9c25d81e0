"""A page of versions: the newest first, or as a filter and an order say."""

from __future__ import annotations

from itertools import islice

from lepton_ai.catalog import search
from lepton_ai.server import cursors
from lepton_ai.server.asked import Asked
from lepton_ai.types import VersionInfo


def page(
    asked: Asked,
    where: str,
    order_by: str,
    branch: str | None,
    *,
    deleted: bool,
    after: str | None,
    limit: int,
) -> tuple[list[VersionInfo], str | None]:
    """The versions of a page, and the cursor of the next one.

    Those of the whole repository come from the version index; a branch's line is walked.
    """
    if branch is None:
        catalog, number = asked.here.catalog, asked.row.number
        found = search.versions(catalog, number, where, order_by, after, limit, deleted=deleted)
        return list(found.versions), found.next
    start = cursors.decode(after, int) or 0
    on_line = asked.names.list_versions(branch, deleted=deleted, where=where, order_by=order_by)
    ordered = on_line if order_by else on_line[::-1]
    shown = list(islice(ordered, start, start + limit))
    return shown, cursors.encode(start + limit) if len(ordered) > start + limit else None
