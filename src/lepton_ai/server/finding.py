"""A page of versions: the newest first, or as a filter and an order say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lepton_ai.catalog import on_branch, search
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
    with asked.at_once():
        if branch is not None:
            meant = asked.lines.branch(
                branch, deleted=True
            )  # that there is none says more than an empty list
            line = Standing(meant.head, meant.state.uid)
        catalog, number = asked.here.catalog, asked.row.number
        return search.versions(catalog, number, where, order_by, after, limit, branch=line, deleted=deleted)


def places_of(asked: Asked) -> Callable[[Sequence[bytes]], dict[bytes, int]]:
    """Tells the numbers of versions by the ids of their first revisions."""

    def places(firsts: Sequence[bytes]) -> dict[bytes, int]:
        with asked.here.catalog.reading() as connection:
            return on_branch.places(connection, asked.row.number, firsts)

    return places
