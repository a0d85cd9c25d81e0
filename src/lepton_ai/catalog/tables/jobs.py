"""Longer work that a server does for somebody: what, how far, and what came of it."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from lepton_ai.catalog.tables.types import METADATA, OPTIONS, Number, Words

ID_BYTES = 32

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Words(ID_BYTES), primary_key=True),
    Column("repository", Number, nullable=False),
    Column("kind", Words(), nullable=False),
    # JSON
    Column("asked", Words(), nullable=False),
    Column("state", Words(ID_BYTES), nullable=False),
    Column("task", Words(), nullable=False),
    Column("done", Number, nullable=False),
    Column("total", Number, nullable=False),
    Column("started_by", Words(), nullable=False),
    Column("started_at", Number, nullable=False),
    Column("beat_at", Number, nullable=False),
    Column("ended_at", Number),
    # JSON: what came of it, or the problem
    Column("result", Words()),
    Index("jobs_by_repository", "repository", "started_at", "id"),
    Index("jobs_by_end", "ended_at"),
    **OPTIONS,
)
