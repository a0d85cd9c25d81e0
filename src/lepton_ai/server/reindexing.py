"""The search index of a server's repositories, made anew one by one."""

from __future__ import annotations

from collections.abc import Iterator

from lepton_ai.catalog import repositories, search_index
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.repositories import Row
from lepton_ai.errors import NotFound
from lepton_ai.progress import SILENT, Progress
from lepton_ai.server.settings import ServerSettings


def reindex(
    settings: ServerSettings, only: tuple[str, str] | None = None, progress: Progress = SILENT
) -> dict[str, int]:
    """Make the index anew of all repositories, or ``only`` of the one by owner and name; versions by repository.

    Raises:
        NotFound: there is none of this name. LeptonError: the database cannot be used.
    """
    catalog = Catalog(settings.database_url)
    try:
        catalog.check()
        rows = _every(catalog) if only is None else iter([repositories.find(catalog, *only)])
        return dict(_counted(catalog, rows, progress))
    finally:
        catalog.close()


def _counted(catalog: Catalog, rows: Iterator[Row], progress: Progress) -> Iterator[tuple[str, int]]:
    for row in rows:
        where = f"{row.owner}/{row.name}"
        try:
            yield where, search_index.rebuild(catalog, row.number, where, progress)
        except NotFound:  # removed meanwhile
            continue


def _every(catalog: Catalog) -> Iterator[Row]:
    after: tuple[str, str] | None = None
    while page := repositories.page(catalog, after=after):
        yield from page
        after = page[-1].owner, page[-1].name
