"""The version rows of a commit: each is what its id says, and stands where it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from lepton_ai.errors import Damaged, UsageError
from lepton_ai.history import graph, paths
from lepton_ai.history.names import check_version_name
from lepton_ai.history.record import digests, parse_record, timestamp
from lepton_ai.history.refs.contract import History, Records, VersionRow
from lepton_ai.types import Record

LINEAGE = ("name", "branch", "parents", "jump", "depth")
"""What all revisions of a version have in common."""
LAST_MOMENT = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


class Rows:
    """Versions that come with a commit, over those that the history has."""

    def __init__(self, history: History, incoming: Sequence[VersionRow]) -> None:
        self._history = history
        self.incoming = {row.id: row for row in incoming}
        self._known: dict[bytes, VersionRow] = {}
        self._absent: set[bytes] = set()

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist, or come with the commit."""
        asked = [one for one in dict.fromkeys(ids) if one not in self.incoming]
        asked = [one for one in asked if one not in self._known and one not in self._absent]
        if asked:
            found = self._history.versions(asked)
            self._known.update(found)
            self._absent.update(one for one in asked if one not in found)
        known = {**self._known, **self.incoming}
        return {one: known[one] for one in ids if one in known}

    def row(self, id_: bytes, what: str) -> VersionRow:
        """One row.

        Raises:
            UsageError: there is none; ``what`` says who points at it.
        """
        found = self.versions([id_]).get(id_)
        if found is None:
            raise UsageError(
                f"{what} is {id_.hex()[:12]}, a version that is neither here nor in the commit",
                hint="send that version first",
            )
        return found


def check_rows(rows: Rows, incoming: Sequence[VersionRow]) -> set[bytes]:
    """Check every row; SHA-256 of all that their records refer to.

    Raises:
        UsageError: a row is not what its record says.
        TooNew: a later version of the tool wrote it.
    """
    needed: set[bytes] = set()
    rows.versions([*(p for row in incoming for p in row.parents), *(r.jump for r in incoming if r.jump)])
    for row in incoming:
        record = check_record(row)
        check_files(row, record)
        check_parents(rows, row)
        if row.revision == 1:
            check_place(rows, row)
        check_revision(rows, row, record)
        needed |= digests(record)
    return needed


def check_record(row: VersionRow) -> Record:
    """The id is the hash of the record, and the columns say what the record says.

    Raises:
        UsageError, TooNew.
    """
    try:
        record = parse_record(row.record, row.id)
    except Damaged as problem:
        raise UsageError(f"version {_short(row)} is not what its id says: {problem.message}") from problem
    check_version_name(row.name)
    if not is_moment(row.created_at):
        raise _wrong(row, f"{row.created_at} is no moment")
    told = (record.name, record.parents, record.created_at)
    if told != (row.name, tuple(parent.hex() for parent in row.parents), timestamp(row.created_at)):
        raise _wrong(row, "its name, parents or time are not those of its record")
    if not _is_identity(row.branch):
        raise _wrong(row, f"{row.branch!r} is no identity of a branch")
    return record


def check_files(row: VersionRow, record: Record) -> None:
    """Its paths stay in their folder, and its digests are some."""
    trouble = paths.trouble([(entry.path, entry.target) for entry in record.files])
    if trouble:
        raise _wrong(row, trouble)
    for entry in record.files:
        if entry.size < 0 or (entry.target is None) != is_digest(entry.sha256):
            raise _wrong(row, f"the file {entry.path!r} has no SHA-256 digest, or a size below nothing")
    try:
        digests(record)
    except ValueError as problem:
        raise _wrong(row, "what it refers to has no SHA-256 digest") from problem


def check_parents(rows: Rows, row: VersionRow) -> None:
    """Every parent is there, and none is the version itself."""
    for parent in row.parents:
        if rows.row(parent, f"a parent of version {_short(row)}").first in (row.id, row.first):
            raise _wrong(row, "it would come from itself")
    if len(set(row.parents)) < len(row.parents):
        raise _wrong(row, "it has a parent twice")


def check_place(rows: Rows, row: VersionRow) -> None:
    """Depth and jump pointer are those that its first parent gives it."""
    parent = rows.row(row.parents[0], "its parent") if row.parents else None
    for above in _steps(rows, parent):
        rows.row(above, "a version on its line")
    if (row.depth, row.jump) != graph.place_after(cast("Records", rows), parent):  # it asks for rows alone
        raise _wrong(row, "its depth or jump pointer is not the one that its first parent gives")


def check_revision(rows: Rows, row: VersionRow, record: Record) -> None:
    """A later revision follows the one that its record names, and stands where that stands."""
    if row.revision == 1:
        if record.revises is not None or row.first != row.id:
            raise _wrong(row, "it is a first revision that revises another")
        return
    if record.revises is None or not is_digest(record.revises):
        raise _wrong(row, "its record does not say which revision came before")
    before = rows.row(bytes.fromhex(record.revises), f"the revision before version {_short(row)}")
    if (before.first, before.revision + 1) != (row.first, row.revision):
        raise _wrong(row, "it is not the revision after the one that its record names")
    if any(getattr(before, field) != getattr(row, field) for field in LINEAGE):
        raise _wrong(row, "it stands elsewhere than the revision before")


def is_moment(microseconds: int) -> bool:
    """Whether it can be told as a time: from 1970 to the end of 9999."""
    return 0 <= microseconds <= LAST_MOMENT


def is_digest(text: str) -> bool:
    """Whether it is 64 lower-case hexadecimal digits."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _is_identity(text: str) -> bool:
    return 0 < len(text) <= 64 and set(text) <= set("0123456789abcdef")


def _steps(rows: Rows, parent: VersionRow | None) -> Iterable[bytes]:
    """The versions that placing a child of ``parent`` looks at."""
    if parent is not None and parent.jump is not None:
        yield parent.jump
        middle = rows.versions([parent.jump]).get(parent.jump)
        if middle is not None and middle.jump is not None:
            yield middle.jump


def _short(row: VersionRow) -> str:
    return row.id.hex()[:12]


def _wrong(row: VersionRow, what: str) -> UsageError:
    return UsageError(f"version {_short(row)} ({row.name!r}) is refused: {what}")
