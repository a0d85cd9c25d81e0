"""A history that counts the rows it is asked for: how the promises about scale are shown without timing anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lepton_ai.history.refs.contract import Commit, ContentRow, History, LogEntry, Ref, VersionRow


class CountingHistory:
    """Passes everything on to ``inner`` and counts rows read and written, and calls."""

    def __init__(self, inner: History) -> None:
        self.inner = inner
        self.calls = 0
        self.rows_read = 0
        self.rows_written = 0

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """Counted."""
        found = self.inner.get(keys)
        self._read(len(found))
        return found

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Counted."""
        found = self.inner.scan(prefix, after=after, limit=limit)
        self._read(len(found))
        return found

    def commit(self, change: Commit) -> None:
        """Counted."""
        self.calls += 1
        self.rows_written += len(change.moves) + len(change.versions) + len(change.contents)
        self.inner.commit(change)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Counted."""
        found = self.inner.log(prefix, before=before, limit=limit)
        self._read(len(found))
        return found

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """Counted."""
        found = self.inner.versions(ids)
        self._read(len(found))
        return found

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """Counted."""
        found = self.inner.revisions(firsts)
        self._read(sum(len(rows) for rows in found.values()))
        return found

    def named(self, name: str) -> list[VersionRow]:
        """Counted."""
        found = self.inner.named(name)
        self._read(len(found))
        return found

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Counted."""
        found = self.inner.find(prefix, limit=limit)
        self._read(len(found))
        return found

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """Counted."""
        found = self.inner.page(before=before, limit=limit)
        self._read(len(found))
        return found

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Counted."""
        found = self.inner.contents(digests)
        self._read(len(found))
        return found

    def close(self) -> None:
        """Close what is behind."""
        self.inner.close()

    def _read(self, rows: int) -> None:
        self.calls += 1
        self.rows_read += rows
