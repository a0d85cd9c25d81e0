"""A page of versions: the newest first, or as a filter and an order say."""

from __future__ import annotations

from lepton_ai.catalog import search
from lepton_ai.catalog.on_branch import Standing
from lepton_ai.catalog.search import Page
from lepton_ai.server.asked import Asked


def page(
    asked: Asked,
    where: str,
    order_by: str,
    branch: str | None,
    *,
    deleted: bool,
    after: str | None,
    limit: int,
) -> Page:
    """The versions of a page, and the cursor of the next one.

    Raises:
        UsageError: the filter or the order cannot be read, or the cursor is of another list.
    """
    line = None
    if branch is not None:
        meant = asked.lines.branch(branch, deleted=True)  # that there is none says more than an empty list
        line = Standing(meant.head, meant.state.uid)
    catalog, number = asked.here.catalog, asked.row.number
    return search.versions(catalog, number, where, order_by, after, limit, branch=line, deleted=deleted)
