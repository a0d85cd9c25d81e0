"""The contract of whoever keeps the history: small movable values, immutable rows, one atomic commit.

Everything that can change (a branch's head, a tag, an alias, a tombstone, a lease) is a *ref*: a key with a
small value and a stamp. A commit names the stamps that it was computed from and is applied wholly or not at all;
so the rules of names, drafts and deletion are written once, above, as pure functions from values read to a
:class:`Commit`, and every implementation (SQLite, memory, later any SQL server) only has to keep this promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

ABSENT = 0
"""The stamp of a key that does not exist."""


class Ref(msgspec.Struct, frozen=True):
    """A key's value. ``stamp`` is > 0, and no two writes of one key ever had the same, deletions included."""

    key: str
    value: bytes
    stamp: int


class Move(msgspec.Struct, frozen=True):
    """Set ``key`` to ``value`` (None: delete it) if its stamp still is ``expected`` (ABSENT: it does not exist)."""

    key: str
    expected: int
    value: bytes | None
    logged: bool = True


class VersionRow(msgspec.Struct, frozen=True):
    """A version (one revision of it) as kept forever. Ids are 32 raw bytes, times microseconds since 1970 (UTC).

    ``first`` is the id of the first revision (its own for revision 1) and stands for the version in all its
    revisions. ``depth`` counts first-parent steps to the root; ``jump`` is an ancestor further up (Myers'
    skew-binary jump pointers), so that an ancestor at a given depth is found in O(log n) rows. ``parents`` are
    all of them, first parent first.
    """

    id: bytes
    first: bytes
    revision: int
    name: str
    branch: str
    parents: tuple[bytes, ...]
    jump: bytes | None
    depth: int
    created_at: int
    record: bytes


class ContentRow(msgspec.Struct, frozen=True):
    """Where a file's bytes are: its SHA-256 → the sealed manifest's object id in the store. The newest row wins."""

    sha256: bytes
    size: int
    stored: int
    manifest: bytes


class LogEntry(msgspec.Struct, frozen=True):
    """One move of one ref, as the log keeps it. ``number`` grows; ``before``/``after`` are values, None: absent."""

    number: int
    at: int
    actor: str
    act: str
    why: str
    key: str
    before: bytes | None
    after: bytes | None


class Commit(msgspec.Struct, frozen=True):
    """One atomic change. ``checks`` (key → expected stamp) must hold as well, but are not written."""

    actor: str
    act: str
    why: str = ""
    at: int = 0
    moves: tuple[Move, ...] = ()
    checks: Mapping[str, int] = {}
    versions: tuple[VersionRow, ...] = ()
    contents: tuple[ContentRow, ...] = ()
    sizes: tuple[ContentRow, ...] = ()


class Refs(Protocol):
    """Movable values behind compare-and-set, with a log of every move."""

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """The refs of ``keys`` that exist, read in one snapshot."""

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """Refs whose key starts with ``prefix`` and is greater than ``after``, in key order (code points)."""

    def commit(self, change: Commit) -> None:
        """Apply ``change`` wholly, durably, or not at all.

        Rows are written first and stay when present already (versions), or are replaced (contents). ``sizes`` only
        change ``stored``, and only of rows whose manifest is still the same.

        Raises:
            LostRace: a stamp is not the expected one; says which key.
            Busy: another process held the history until the timeout; names it where it can.
            NoSpace, StorageFailed: the disk refused.
        """

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """Moves of refs whose key starts with ``prefix``, newest first; ``before`` continues a page."""


class Records(Protocol):
    """Immutable rows: versions and where their files' bytes are."""

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """All revisions of each version, in order."""

    def named(self, name: str) -> list[VersionRow]:
        """First revisions of every version called ``name``, on any branch, oldest first."""

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """Ids whose lower-case hexadecimal form starts with ``prefix``."""

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """First revisions with their sequence numbers, newest first; ``before`` continues a page."""

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """Where the files with these SHA-256 digests are, as far as they are kept."""


class History(Refs, Records, Protocol):
    """Both together: one commit covers them."""

    def close(self) -> None:
        """Let go of files and connections."""
