"""Statements of the embedded history, and rows as values."""

# ruff: noqa: S608  (lists of columns are the only thing that is put into a statement)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.refs.rules import ID_LENGTH

T = TypeVar("T", bound=msgspec.Struct)

_VERSION = "id, first, revision, name, branch, parents, jump, depth, created_at, record"
_LOG = "log.number, log.at, log.actor, log.act, log.why, log.key, log.before, log.after"

VERSION_BY_ID = f"SELECT {_VERSION} FROM versions WHERE id = ?"
REVISIONS = f"SELECT {_VERSION} FROM versions WHERE first = ? ORDER BY revision"
NAMED = f"SELECT {_VERSION} FROM versions WHERE name = ? AND revision = 1 ORDER BY sequence"
PAGE = (
    f"SELECT {_VERSION}, sequence FROM versions INDEXED BY versions_in_order "
    "WHERE revision = 1 AND sequence < ? ORDER BY sequence DESC LIMIT ?"
)
INSERT_VERSION = (
    f"INSERT INTO versions ({_VERSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
REF = "SELECT key, value, stamp FROM refs WHERE key = ?"
CONTENT = "SELECT sha256, size, stored, manifest FROM contents WHERE sha256 = ?"
PUT_CONTENT = (
    "INSERT INTO contents (sha256, size, stored, manifest) VALUES (?, ?, ?, ?) ON CONFLICT (sha256) "
    "DO UPDATE SET size = excluded.size, stored = excluded.stored, manifest = excluded.manifest"
)
SET_STORED = "UPDATE contents SET stored = ? WHERE sha256 = ? AND manifest = ?"
PUT_REF = (
    "INSERT INTO refs (key, value, stamp) VALUES (?, ?, ?) ON CONFLICT (key) "
    "DO UPDATE SET value = excluded.value, stamp = excluded.stamp"
)
INSERT_LOG = (
    "INSERT INTO log (stamp, at, actor, act, why, key, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
LOG = f"SELECT {_LOG} FROM log WHERE number < ? ORDER BY number DESC LIMIT ?"
LOG_UNDER = (
    f"SELECT {_LOG} FROM log_under JOIN log ON log.number = log_under.number "
    "WHERE log_under.prefix = ? AND log_under.number < ? ORDER BY log_under.number DESC LIMIT 1"
)


def read(kind: type[T], row: tuple[Any, ...]) -> T:
    """A row, in the order of the struct's fields, as that struct.

    Raises:
        Damaged: a column has another type than it was given.
    """
    try:
        # As it is: otherwise a text where bytes should be would be taken for their Base64.
        return msgspec.convert(
            dict(zip(kind.__struct_fields__, row, strict=True)), ready(kind), builtin_types=(bytes,)
        )
    except msgspec.ValidationError as problem:
        raise _damaged(f"a row of it is none: {problem}") from problem


def read_id(value: object) -> bytes:
    """A column that holds an id."""
    if not isinstance(value, bytes) or len(value) != ID_LENGTH:
        raise _damaged("an id of it is none")
    return value


def disordered(table: str) -> Damaged:
    """The error of rows that do not come in the order of their index."""
    return _damaged(f"the rows of {table} are out of order")


def read_version(row: tuple[Any, ...]) -> VersionRow:
    """A row of the table of versions."""
    return read(VersionRow, (*row[:5], tuple(_ids(row[5])), *row[6:]))


def write_version(row: VersionRow) -> tuple[Any, ...]:
    """The columns of a version, in the order of ``INSERT_VERSION``."""
    return (
        row.id, row.first, row.revision, row.name, row.branch, b"".join(row.parents), row.jump, row.depth,
        row.created_at, row.record,
    )  # fmt: skip


def _damaged(what: str) -> Damaged:
    return Damaged(f"the history is damaged: {what}", hint="lepton verify says more; restore a backup")


def _ids(joined: object) -> Iterator[bytes]:
    if not isinstance(joined, bytes):
        raise _damaged("the parents of a version are none")
    for start in range(0, len(joined), ID_LENGTH):
        yield read_id(joined[start : start + ID_LENGTH])
