"""A history on a server: the contract's calls as requests, what never changes remembered, no commit applied twice."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

import msgspec

from lepton_ai.client import waiting
from lepton_ai.client.connection import Connection
from lepton_ai.client.reaching import Unreached
from lepton_ai.errors import LostRace
from lepton_ai.history.refs import calls, rules
from lepton_ai.history.refs.contract import Commit, ContentRow, LogEntry, Move, Ref, VersionRow

T = TypeVar("T")
LEASES = ("lease/", "gc/running")
KEY = "Idempotency-Key"
"""The header that makes a commit one commit however often it arrives."""
REMEMBERED = 50_000
"""Rows of versions that are kept in memory."""
AT_ONCE = 500
"""Keys or ids in one question."""
LOOKED_BACK = 100
"""Moves of a branch among which one is looked for whose answer was lost."""


class HttpHistory:
    """The history of the repository at ``path`` (``/repositories/OWNER/NAME``) of a server. Thread-safe."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, f"{path}/history"
        self._rows: OrderedDict[bytes, VersionRow] = OrderedDict()
        self._lock = Lock()

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """The refs of ``keys`` that exist; up to 5,000 of them in one snapshot."""
        found: dict[str, Ref] = {}
        for some in _parts(dict.fromkeys(keys), calls.MOST):
            for ref in self._ask("get", calls.Get(tuple(some)), list[Ref]):
                found[ref.key] = ref
        return found

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Refs whose key starts with ``prefix`` and is greater than ``after``, in key order (code points)."""
        rules.check_range(prefix, limit)
        found: list[Ref] = []
        while more := _more(limit, len(found)):
            part = self._ask("scan", calls.Scan(prefix, after, more), list[Ref])
            found += part
            if len(part) < more:
                break
            after = part[-1].key
        return found

    def commit(self, change: Commit) -> None:
        """Apply ``change`` wholly, durably, or not at all. The server says who acted, and when.

        It is sent again when the answer did not come, and applied once all the same.

        Raises:
            LostRace: a stamp is not the expected one.
            Everything that a server says.
        """
        rules.check_commit(change)
        headers, doubtful = {KEY: secrets.token_hex(16)}, False
        for attempt in range(waiting.ATTEMPTS):
            try:
                path = f"{self._path}/commit"
                self._connection.call("POST", path, change, headers=headers, packed=True, works=True)
            except Unreached as problem:
                if problem.before or waiting.enough(attempt + 1, silent=problem.silent):
                    raise
                doubtful = True  # it may have arrived, or be under way still
                time.sleep(waiting.pause(attempt))
                if self._went_through(change):
                    return
            except LostRace:
                if doubtful and self._went_through(change):
                    return  # lost to itself
                raise
            else:
                return

    def _went_through(self, change: Commit) -> bool:
        """Whether everything is as the change makes it, written after what it was computed from; or was so for a while:
        the log has a move to a value that names a version of the change, and its versions are there.
        """
        ids = [row.id for row in change.versions]
        if len(self.versions(ids)) < len(set(ids)):
            return False
        return self._is_so(change) or any(self._was_so(change, move) for move in change.moves)

    def _was_so(self, change: Commit, move: Move) -> bool:
        names_new = any(row.id.hex().encode() in (move.value or b"") for row in change.versions)
        if not names_new or not move.key.startswith("branch/"):
            return False
        return any(entry.after == move.value for entry in self.log(move.key, limit=LOOKED_BACK))

    def _is_so(self, change: Commit) -> bool:
        there = self.get([move.key for move in change.moves])
        for move in change.moves:
            ref = there.get(move.key)
            if (ref is None) != (move.value is None):
                return False
            if ref is not None and ref.stamp == move.expected:
                return False
            # of a lease the server tells the times itself
            if ref is not None and ref.value != move.value and not move.key.startswith(LEASES):
                return False
        return bool(change.moves)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Moves of refs whose key starts with ``prefix``, newest first; ``before`` continues a page."""
        rules.check_range(prefix, limit)
        found: list[LogEntry] = []
        while more := _more(limit, len(found)):
            part = self._ask("log", calls.Log(prefix, before, more), list[LogEntry])
            found += part
            if len(part) < more:
                break
            before = part[-1].number
        return found

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist; they never change, so each is asked for once."""
        wanted = list(dict.fromkeys(ids))
        with self._lock:
            found = {id_: self._rows[id_] for id_ in wanted if id_ in self._rows}
        missing = [id_ for id_ in wanted if id_ not in found]
        for some in _parts(missing, AT_ONCE):
            rows = self._ask("versions", calls.Versions(tuple(some)), list[VersionRow])
            found |= {row.id: row for row in self._kept(rows)}
        return found

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """All revisions of each version, in order; versions without any are left out."""
        found: dict[bytes, list[VersionRow]] = {}
        for some in _parts(dict.fromkeys(firsts), AT_ONCE):
            for row in self._kept(self._ask("revisions", calls.Revisions(tuple(some)), list[VersionRow])):
                found.setdefault(row.first, []).append(row)
        return found

    def named(self, name: str) -> list[VersionRow]:
        """First revisions of every version called ``name``, on any branch, oldest first."""
        rules.check_range(name, None)
        return self._kept(self._ask("named", calls.Named(name), list[VersionRow]))

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Ids whose lower-case hexadecimal form starts with ``prefix``, in order."""
        rules.check_range("", limit)
        if rules.hex_range(prefix) is None or not limit:
            return []
        return list(self._ask("find", calls.Find(prefix, min(limit, calls.MOST)), list[bytes]))

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """First revisions with their sequence numbers, newest first; ``before`` continues a page."""
        rules.check_range("", limit)
        found: list[tuple[int, VersionRow]] = []
        while more := _more(limit, len(found)):
            part = self._ask("page", calls.Page(before, more), list[tuple[int, VersionRow]])
            self._kept(row for _, row in part)
            found += part
            if len(part) < more:
                break
            before = part[-1][0]
        return found

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Where the files with these SHA-256 digests are, as far as they are kept."""
        found: dict[bytes, ContentRow] = {}
        for some in _parts(dict.fromkeys(digests), AT_ONCE):
            for row in self._ask("contents", calls.Contents(tuple(some)), list[ContentRow]):
                found[row.sha256] = row
        return found

    def several(self, asked: calls.Several) -> calls.Seen:
        """Several questions in one journey."""
        path = f"{self._path}/several"
        seen: calls.Seen = self._connection.call("POST", path, asked, calls.Seen, repeat=True, packed=True)
        self._kept(seen.rows)
        return seen

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()

    def _ask(self, call: str, asked: msgspec.Struct, tells: type[list[T]]) -> list[T]:
        found: list[T] = self._connection.call(
            "POST", f"{self._path}/{call}", asked, tells, repeat=True, packed=True
        )
        return found

    def _kept(self, rows: Iterable[VersionRow]) -> list[VersionRow]:
        """The rows, remembered."""
        listed = list(rows)
        with self._lock:
            for row in listed:
                self._rows[row.id] = row
            while len(self._rows) > REMEMBERED:
                self._rows.popitem(last=False)
        return listed


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _more(limit: int | None, have: int) -> int:
    """How many entries to ask for next; 0: there are enough."""
    return calls.MOST if limit is None else min(limit - have, calls.MOST)
