"""A history in memory: the contract said in the plainest code, for tests and for suites to compare with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, LogEntry, Move, Ref, VersionRow


class MemoryHistory:
    """Keeps everything in dicts behind one lock; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refs: dict[str, Ref] = {}
        self._stamp = 0
        self._log: list[LogEntry] = []
        self._rows: dict[bytes, VersionRow] = {}
        self._contents: dict[bytes, ContentRow] = {}

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """The refs of ``keys`` that exist."""
        for key in keys:
            rules.check_key(key)
        with self._lock:
            return {key: self._refs[key] for key in keys if key in self._refs}

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Refs whose key starts with ``prefix`` and is greater than ``after``, in key order (code points)."""
        rules.check_range(prefix, limit)
        rules.check_range(after, limit)
        with self._lock:
            keys = sorted(key for key in self._refs if key.startswith(prefix) and key > after)
            return [self._refs[key] for key in keys[:limit]]

    def commit(self, change: Commit) -> None:
        """Apply ``change`` wholly or not at all.

        Raises:
            LostRace: a stamp is not the expected one.
            UsageError: the change breaks the rules for keys and rows.
        """
        rules.check_commit(change)
        with self._lock:
            expected = [*change.checks.items(), *((move.key, move.expected) for move in change.moves)]
            for key, stamp in expected:
                if self._stamp_of(key) != stamp:
                    raise rules.lost(key)
            for version in change.versions:
                self._rows.setdefault(version.id, version)
            for content in change.contents:
                self._contents[content.sha256] = content
            for known in change.sizes:
                there = self._contents.get(known.sha256)
                if there is not None and there.manifest == known.manifest:
                    self._contents[known.sha256] = replace(there, stored=known.stored)
            if change.moves:
                self._stamp += 1
            for move in change.moves:
                self._move(change, move)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Moves of refs whose key starts with ``prefix``, newest first."""
        rules.check_range(prefix, limit)
        with self._lock:
            wanted = (entry for entry in reversed(self._log) if entry.key.startswith(prefix))
            return [entry for entry in wanted if before is None or entry.number < before][:limit]

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""
        with self._lock:
            return {one: self._rows[one] for one in ids if one in self._rows}

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """All revisions of each version, in order; versions without any are left out."""
        with self._lock:
            found = {first: [row for row in self._rows.values() if row.first == first] for first in firsts}
        return {first: sorted(rows, key=lambda row: row.revision) for first, rows in found.items() if rows}

    def named(self, name: str) -> list[VersionRow]:
        """First revisions of every version called ``name``, oldest first."""
        rules.check_range(name, None)
        with self._lock:
            return [row for row in self._rows.values() if row.name == name and row.revision == 1]

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Ids whose lower-case hexadecimal form starts with ``prefix``, in order."""
        rules.check_range("", limit)
        with self._lock:
            return sorted(one for one in self._rows if one.hex().startswith(prefix))[:limit]

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """First revisions with their sequence numbers, newest first."""
        rules.check_range("", limit)
        with self._lock:
            numbered = [(n, row) for n, row in enumerate(self._rows.values(), 1) if row.revision == 1]
        return [pair for pair in reversed(numbered) if before is None or pair[0] < before][:limit]

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Where the files with these SHA-256 digests are."""
        with self._lock:
            return {one: self._contents[one] for one in digests if one in self._contents}

    def close(self) -> None:
        """Nothing to let go of."""

    def _stamp_of(self, key: str) -> int:
        ref = self._refs.get(key)
        return ABSENT if ref is None else ref.stamp

    def _move(self, change: Commit, move: Move) -> None:
        old = self._refs.pop(move.key, None)
        if move.value is not None:
            self._refs[move.key] = Ref(move.key, move.value, self._stamp)
        if move.logged:
            number, before = len(self._log) + 1, old.value if old else None
            said = (number, rules.moment(change), change.actor, change.act, change.why)
            self._log.append(LogEntry(*said, move.key, before, move.value))
