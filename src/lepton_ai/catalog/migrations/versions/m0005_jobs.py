"""Step 5: jobs."""

from __future__ import annotations

from sqlalchemy import Column

from lepton_ai.catalog.migrations.steps import create_index, create_table
from lepton_ai.catalog.tables.types import Number, Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = 32


def upgrade() -> None:
    """Make the table of jobs."""
    create_table(
        "jobs",
        Column("id", Words(ID), primary_key=True),
        Column("repository", Number, nullable=False),
        Column("kind", Words(), nullable=False),
        Column("asked", Words(), nullable=False),
        Column("state", Words(ID), nullable=False),
        Column("task", Words(), nullable=False),
        Column("done", Number, nullable=False),
        Column("total", Number, nullable=False),
        Column("started_by", Words(), nullable=False),
        Column("started_at", Number, nullable=False),
        Column("beat_at", Number, nullable=False),
        Column("ended_at", Number),
        Column("result", Words()),
    )
    create_index("jobs_by_repository", "jobs", ["repository", "started_at", "id"])
    create_index("jobs_by_end", "jobs", ["ended_at"])
