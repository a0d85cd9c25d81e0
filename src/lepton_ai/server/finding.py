"""A page of versions: the newest first, or as a filter and an order say."""

from __future__ import annotations

from itertools import islice

from lepton_ai.history import listing
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
    """The versions of a page, and the cursor of the next one."""
    if not where and not order_by and branch is None:
        return _newest(asked, deleted=deleted, after=after, limit=limit)
    start = cursors.decode(after, int) or 0
    names = asked.names
    found = names.list_versions(branch, deleted=deleted, where=where, order_by=order_by)
    ordered = found if order_by else found[::-1]
    shown = list(islice(ordered, start, start + limit))
    return shown, cursors.encode(start + limit) if len(ordered) > start + limit else None


def _newest(
    asked: Asked, *, deleted: bool, after: str | None, limit: int
) -> tuple[list[VersionInfo], str | None]:
    lines, before = asked.lines, cursors.decode(after, int)
    found: list[VersionInfo] = []
    while len(found) < limit:
        rows = lines.history.page(before=before, limit=limit - len(found))
        if not rows:
            return found, None
        before = rows[-1][0]
        infos = listing.infos(lines, [row for _, row in rows], None)
        found += [info for info in infos if deleted or info.status == "Active"]
    return found, cursors.encode(before) if lines.history.page(before=before, limit=1) else None
