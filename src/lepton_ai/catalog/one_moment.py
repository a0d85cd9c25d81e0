"""A history as it was at one moment: read in one transaction, which somebody else began, and each version once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from sqlalchemy.engine import Connection

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.history.refs.contract import VersionRow


class _Snapshot:
    """Stands for a catalog from which a history reads: all in one transaction, so of one moment and in fewer trips."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        yield self._connection


class MomentHistory(CatalogHistory):
    """The history of repository ``number`` as ``connection`` sees it; nothing is written."""

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(cast("Catalog", _Snapshot(connection)), number)
        self._known: dict[bytes, VersionRow] = {}

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""
        self._known |= super().versions([one for one in ids if one not in self._known])
        return {one: self._known[one] for one in ids if one in self._known}
