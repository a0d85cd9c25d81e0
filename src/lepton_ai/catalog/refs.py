"""The history of one repository in a server's database: the same contract as the embedded one."""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import committing
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.history import COMMITS, CONTENTS, LOG, LOG_UNDER, REFS, VERSIONS
from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import Commit, ContentRow, LogEntry, Ref, VersionRow
from lepton_ai.history.refs.rules import ID_LENGTH

_LAST = (1 << 63) - 1
_CHUNK = 500
"""Keys in one question: databases take some ten thousand, drivers get slow before."""
_REF = (REFS.c.key, REFS.c.value, REFS.c.stamp)
_ENTRY = tuple(LOG.c[name] for name in ("number", "at", "actor", "act", "why", "key", "before", "after"))
_VERSION = tuple(VERSIONS.c[name] for name in VersionRow.__struct_fields__)
_CONTENT = tuple(CONTENTS.c[name] for name in ContentRow.__struct_fields__)


class CatalogHistory:
    """The history of repository ``number`` in ``catalog``. Threads and processes may share it; every call is one
    transaction, and what a commit wrote is durable when it returns.

    Raises:
        Busy, NoSpace, StorageFailed, Damaged.
    """

    def __init__(self, catalog: Catalog, repository_number: int) -> None:
        self._catalog = catalog
        self._number = repository_number

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """The refs of ``keys`` that exist, read in one snapshot."""
        for key in keys:
            rules.check_key(key)
        query = select(*_REF).where(REFS.c.repository == self._number)
        return {row[0]: Ref(*row) for row in self._among(query, REFS.c.key, keys)}

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Refs whose key starts with ``prefix`` and is greater than ``after``, in key order (code points)."""
        rules.check_range(prefix, limit)
        rules.check_range(after, limit)
        query = select(*_REF).where(REFS.c.repository == self._number)
        query = query.where(REFS.c.key > after) if after >= prefix else query.where(REFS.c.key >= prefix)
        end = rules.above(prefix)
        if end is not None:
            query = query.where(REFS.c.key < end)
        return [Ref(*row) for row in self._rows(query.order_by(REFS.c.key), limit)]

    def commit(self, change: Commit) -> None:
        """Apply ``change`` wholly, durably, or not at all. The catalog's hooks run in the same transaction.

        A connection that breaks while the database commits is no error when the change turns out to be there.

        Raises:
            LostRace: a stamp is not the expected one; says which key.
            Busy, NoSpace, StorageFailed.
            NotFound: the repository was removed.
            UsageError: the change breaks the rules for keys and rows.
        """
        rules.check_commit(change)
        committing.check_lengths(change)
        token = secrets.token_bytes(16)

        def act(connection: Connection) -> None:
            committing.apply(connection, self._number, change, token)
            for hook in self._catalog.hooks:
                hook(connection, self._number, change)

        def happened(connection: Connection) -> bool:
            committing.lock(
                connection, self._number
            )  # waits until the lost transaction has ended, either way
            query = select(COMMITS.c.stamp).where(COMMITS.c.repository == self._number)
            return connection.execute(query.where(COMMITS.c.token == token)).first() is not None

        self._catalog.write(act, happened)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Moves of refs whose key starts with ``prefix``, newest first; ``before`` continues a page."""
        rules.check_range(prefix, limit)
        end = _bounded(before)
        if not prefix:
            query = select(*_ENTRY).where(LOG.c.repository == self._number, LOG.c.number < end)
            return [LogEntry(*row) for row in self._rows(query.order_by(LOG.c.number.desc()), limit)]
        if limit == 0:
            return []
        with self._catalog.reading() as connection:
            batch = _CHUNK if limit is None else min(limit, _CHUNK)
            places = self._log_places(connection, prefix)
            lines = [self._log_under(connection, place, end, batch) for place in places]
            newest = heapq.merge(*lines, key=lambda entry: entry.number, reverse=True)
            return list(itertools.islice(newest, limit))

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""
        query = select(*_VERSION).where(VERSIONS.c.repository == self._number)
        return {row[0]: _version(row) for row in self._among(query, VERSIONS.c.id, ids)}

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """All revisions of each version, in order; versions without any are left out."""
        query = select(*_VERSION).where(VERSIONS.c.repository == self._number)
        found: dict[bytes, list[VersionRow]] = {}
        for row in self._among(
            query.order_by(VERSIONS.c.first, VERSIONS.c.revision), VERSIONS.c.first, firsts
        ):
            found.setdefault(row[1], []).append(_version(row))
        return found

    def named(self, name: str) -> list[VersionRow]:
        """First revisions of every version called ``name``, on any branch, oldest first."""
        rules.check_range(name, None)
        query = select(*_VERSION).where(
            VERSIONS.c.repository == self._number, VERSIONS.c.name == name, VERSIONS.c.revision == 1
        )
        return [_version(row) for row in self._rows(query.order_by(VERSIONS.c.sequence))]

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Ids whose lower-case hexadecimal form starts with ``prefix``, in order."""
        rules.check_range("", limit)
        ends = rules.hex_range(prefix)
        if ends is None:
            return []
        query = select(VERSIONS.c.id).where(
            VERSIONS.c.repository == self._number, VERSIONS.c.id >= ends[0], VERSIONS.c.id <= ends[1]
        )
        return [row[0] for row in self._rows(query.order_by(VERSIONS.c.id), limit)]

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """First revisions with their sequence numbers, newest first; ``before`` continues a page."""
        rules.check_range("", limit)
        query = select(*_VERSION, VERSIONS.c.sequence).where(
            VERSIONS.c.repository == self._number,
            VERSIONS.c.revision == 1,
            VERSIONS.c.sequence < _bounded(before),
        )
        found = self._rows(query.order_by(VERSIONS.c.sequence.desc()), limit)
        return [(row[-1], _version(row[:-1])) for row in found]

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Where the files with these SHA-256 digests are, as far as they are kept."""
        query = select(*_CONTENT).where(CONTENTS.c.repository == self._number)
        return {row[0]: ContentRow(*row) for row in self._among(query, CONTENTS.c.sha256, digests)}

    def close(self) -> None:
        """Nothing to let go of: the connections are the catalog's."""

    def _rows(self, query: Select[Any], limit: int | None = None) -> list[Any]:
        with self._catalog.reading() as connection:
            wanted = query if limit is None else query.limit(min(limit, _LAST))
            return [tuple(row) for row in connection.execute(wanted)]

    def _among(self, query: Select[Any], column: Any, values: Iterable[Any]) -> list[Any]:
        """The rows whose ``column`` is one of ``values``, all in one snapshot."""
        wanted = sorted(set(values))
        if not wanted:
            return []
        with self._catalog.reading() as connection:
            return [
                tuple(row)
                for start in range(0, len(wanted), _CHUNK)
                for row in connection.execute(query.where(column.in_(wanted[start : start + _CHUNK])))
            ]

    def _log_places(self, connection: Connection, prefix: str) -> Iterator[str]:
        """The fewest places in ``log_under`` that hold every move below ``prefix``, each found with one look.

        A prefix that ends with ``/`` is one place; ``branch/ma`` may be ``branch/main``, ``branch/main/`` and
        ``branch/map``.
        """
        end, start = rules.above(prefix), prefix
        while start is not None:
            query = select(LOG_UNDER.c.prefix).where(
                LOG_UNDER.c.repository == self._number, LOG_UNDER.c.prefix >= start
            )
            query = query if end is None else query.where(LOG_UNDER.c.prefix < end)
            place = connection.execute(query.order_by(LOG_UNDER.c.prefix).limit(1)).scalar()
            if place is None:
                return
            yield place
            after = rules.above(place) if place.endswith("/") else place + "\0"
            if after is None:
                return
            start = after

    def _log_under(self, connection: Connection, place: str, end: int, batch: int) -> Iterator[LogEntry]:
        """Log entries of one place, newest first, read in batches as they are asked for."""
        while True:
            query = (
                select(*_ENTRY)
                .join(
                    LOG_UNDER,
                    (LOG_UNDER.c.repository == LOG.c.repository) & (LOG_UNDER.c.number == LOG.c.number),
                )
                .where(
                    LOG_UNDER.c.repository == self._number,
                    LOG_UNDER.c.prefix == place,
                    LOG_UNDER.c.number < end,
                )
                .order_by(LOG_UNDER.c.number.desc())
                .limit(batch)
            )
            found = [LogEntry(*row) for row in connection.execute(query)]
            yield from found
            if len(found) < batch:
                return
            end = found[-1].number


def _bounded(before: int | None) -> int:
    """A place in a sequence, as far as 64 bits reach."""
    return _LAST if before is None else max(-_LAST, min(before, _LAST))


def _version(row: Any) -> VersionRow:
    columns = dict(zip(VersionRow.__struct_fields__, row, strict=True))
    joined = columns["parents"]
    columns["parents"] = tuple(
        joined[start : start + ID_LENGTH] for start in range(0, len(joined), ID_LENGTH)
    )
    return VersionRow(**columns)
