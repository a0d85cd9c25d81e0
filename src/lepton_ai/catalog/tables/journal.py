"""What happened, for whoever listens, and what was answered, for whoever asks twice."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Table

from lepton_ai.catalog.tables.types import METADATA, OPTIONS, Bytes, Number, Words

EVENTS = Table(
    "events",
    METADATA,
    Column("repository", Number, ForeignKey("repositories.number"), nullable=False),
    Column("number", Number, nullable=False),
    Column("at", Number, nullable=False),
    Column("kind", Words(), nullable=False),
    Column("actor", Words(), nullable=False),
    Column("act", Words(), nullable=False),
    Column("ref", Words(), nullable=False),
    Column("version", Words(), nullable=False),
    PrimaryKeyConstraint("repository", "number"),
    Index("events_by_time", "at"),
    **OPTIONS,
)

# ``holder`` is whoever works on it, and shows so by ``beat_at``; ``status`` NULL: there is no answer yet.
ANSWERS = Table(
    "answers",
    METADATA,
    Column("owner", Number, nullable=False),
    Column("key", Words(255), nullable=False),
    Column("request", Bytes(32), nullable=False),
    Column("holder", Bytes(16), nullable=False),
    Column("beat_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("status", Number),
    Column("headers", Bytes()),
    Column("body", Bytes()),
    PrimaryKeyConstraint("owner", "key"),
    Index("answers_by_end", "expires_at"),
    **OPTIONS,
)
