"""Repositories, their counters and their wrapped keys."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, PrimaryKeyConstraint, Table, UniqueConstraint

from lepton_ai.catalog.tables.types import METADATA, NAME_BYTES, OPTIONS, Bytes, Number, Words

REPOSITORIES = Table(
    "repositories",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("owner", Words(NAME_BYTES), nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    # 0, or its own number once it is removed: the name is free again, the rows wait to be purged.
    Column("removed", Number, nullable=False),
    Column("description", Words(), nullable=False),
    Column("id", Words(NAME_BYTES), nullable=False),
    # Where its objects are. Not its id: what is being removed and what is made anew must not share a folder.
    Column("place", Words(64), nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("block_size", Number, nullable=False),
    Column("format", Number, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("created_by", Words(), nullable=False),
    Column("changed_at", Number, nullable=False),
    Column("edition", Number, nullable=False),
    UniqueConstraint("removed", "owner", "name", name="repositories_by_name"),
    **OPTIONS,
)

# Apart from the rest of a repository, because every commit locks and writes this row.
COUNTERS = Table(
    "counters",
    METADATA,
    Column("repository", Number, ForeignKey("repositories.number"), primary_key=True, autoincrement=False),
    Column("stamp", Number, nullable=False),
    Column("logged", Number, nullable=False),
    Column("saved", Number, nullable=False),
    Column("packed", Number, nullable=False),
    **OPTIONS,
)

KEY_FILES = Table(
    "key_files",
    METADATA,
    Column("repository", Number, ForeignKey("repositories.number"), nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("content", Bytes(), nullable=False),
    PrimaryKeyConstraint("repository", "name"),
    **OPTIONS,
)
