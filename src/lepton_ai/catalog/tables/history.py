"""Refs, their log, versions, and where files' bytes are: the embedded history's tables, for many repositories.

Every key begins with the repository, so that its rows lie together, can be counted off and moved to another database.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table

from lepton_ai.catalog.tables.types import KEY_BYTES, METADATA, NAME_BYTES, OPTIONS, Bytes, Number, Words
from lepton_ai.history.refs.rules import ID_LENGTH


def _repository() -> Column[int]:
    return Column("repository", Number, ForeignKey("repositories.number"), nullable=False)


REFS = Table(
    "refs",
    METADATA,
    _repository(),
    Column("key", Words(KEY_BYTES), nullable=False),
    Column("value", Bytes(), nullable=False),
    Column("stamp", Number, nullable=False),
    PrimaryKeyConstraint("repository", "key"),
    **OPTIONS,
)

LOG = Table(
    "log",
    METADATA,
    _repository(),
    Column("number", Number, nullable=False),
    Column("stamp", Number, nullable=False),
    Column("at", Number, nullable=False),
    Column("actor", Words(), nullable=False),
    Column("act", Words(), nullable=False),
    Column("why", Words(), nullable=False),
    Column("key", Words(KEY_BYTES), nullable=False),
    Column("before", Bytes()),
    Column("after", Bytes()),
    PrimaryKeyConstraint("repository", "number"),
    **OPTIONS,
)

# A key 'a/b' is entered under 'a/' and 'a/b': the newest moves below a folder without reading its keys.
LOG_UNDER = Table(
    "log_under",
    METADATA,
    _repository(),
    Column("prefix", Words(KEY_BYTES), nullable=False),
    Column("number", Number, nullable=False),
    PrimaryKeyConstraint("repository", "prefix", "number"),
    **OPTIONS,
)

VERSIONS = Table(
    "versions",
    METADATA,
    _repository(),
    Column("sequence", Number, nullable=False),
    Column("id", Bytes(ID_LENGTH), nullable=False),
    Column("first", Bytes(ID_LENGTH), nullable=False),
    Column("revision", Number, nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("branch", Words(NAME_BYTES), nullable=False),
    Column("parents", Bytes(), nullable=False),
    Column("jump", Bytes(ID_LENGTH)),
    Column("depth", Number, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("record", Bytes(), nullable=False),
    PrimaryKeyConstraint("repository", "sequence"),
    Index("versions_by_id", "repository", "id", unique=True),
    Index("versions_by_first", "repository", "first", "revision"),
    Index("versions_by_name", "repository", "name", "revision", "sequence"),
    Index("versions_in_order", "repository", "revision", "sequence"),
    **OPTIONS,
)

CONTENTS = Table(
    "contents",
    METADATA,
    _repository(),
    Column("sha256", Bytes(ID_LENGTH), nullable=False),
    Column("size", Number, nullable=False),
    Column("stored", Number, nullable=False),
    Column("manifest", Bytes(), nullable=False),
    PrimaryKeyConstraint("repository", "sha256"),
    **OPTIONS,
)

# Which commit took a stamp: whoever lost the connection while committing finds out here whether it counts.
COMMITS = Table(
    "commits",
    METADATA,
    _repository(),
    Column("stamp", Number, nullable=False),
    Column("token", Bytes(16), nullable=False),
    PrimaryKeyConstraint("repository", "stamp"),
    **OPTIONS,
)
