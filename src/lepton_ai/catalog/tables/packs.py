"""Which packs a repository has: a list that many servers agree on, where object stores list slowly or late."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table

from lepton_ai.catalog.tables.types import METADATA, OPTIONS, Number, Words

PACKS = Table(
    "packs",
    METADATA,
    Column("repository", Number, ForeignKey("repositories.number"), nullable=False),
    Column("number", Number, nullable=False),
    Column("name", Words(64), nullable=False),
    Column("size", Number, nullable=False),
    Column("written_at", Number, nullable=False),
    PrimaryKeyConstraint("repository", "number"),
    Index("packs_by_name", "repository", "name", unique=True),
    **OPTIONS,
)
