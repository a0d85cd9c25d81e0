"""Step 3: events, and answers to requests with an idempotency key."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, PrimaryKeyConstraint

from lepton_ai.catalog.migrations.steps import create_index, create_table
from lepton_ai.catalog.tables.types import Bytes, Number, Words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "events",
        Column("repository", Number, ForeignKey("repositories.number"), nullable=False),
        Column("number", Number, nullable=False),
        Column("at", Number, nullable=False),
        *(Column(name, Words(), nullable=False) for name in ("kind", "actor", "act", "ref", "version")),
        PrimaryKeyConstraint("repository", "number"),
    )
    create_index("events_by_time", "events", ["at"])
    create_table(
        "answers",
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
    )
    create_index("answers_by_end", "answers", ["expires_at"])
