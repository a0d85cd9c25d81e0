"""Users, and what proves who they are: hashes only, never a secret."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table

from lepton_ai.catalog.tables.types import METADATA, NAME_BYTES, OPTIONS, Bytes, Number, Words

ID_BYTES = 32
HASH_BYTES = 32

USERS = Table(
    "users",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("created_by", Words(), nullable=False),
    Column("deactivated_at", Number),
    Column("edition", Number, nullable=False),
    # argon2id as PHC string: its parameters stand in it.
    Column("password", Words(), nullable=False),
    Column("password_at", Number, nullable=False),
    Index("users_by_name", "name", unique=True),
    **OPTIONS,
)

# Under the SHA-256 of what was typed: people also type their password where the name should be.
LOGIN_FAILURES = Table(
    "login_failures",
    METADATA,
    Column("subject", Bytes(HASH_BYTES), primary_key=True),
    Column("count", Number, nullable=False),
    Column("last_at", Number, nullable=False),
    Column("locked_until", Number, nullable=False),
    Index("login_failures_by_time", "last_at"),
    **OPTIONS,
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Words(ID_BYTES), primary_key=True),
    Column("owner", Number, ForeignKey("users.number"), nullable=False),
    Column("name", Words(), nullable=False),
    Column("scopes", Words(), nullable=False),
    Column("hash", Bytes(HASH_BYTES), nullable=False),
    Column("created_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("last_used_at", Number),
    Column("revoked_at", Number),
    Index("tokens_by_owner", "owner", "id"),
    **OPTIONS,
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Words(ID_BYTES), primary_key=True),
    Column("owner", Number, ForeignKey("users.number"), nullable=False),
    Column("hash", Bytes(HASH_BYTES), nullable=False),
    Column("device", Words(), nullable=False),
    Column("address", Words(), nullable=False),
    Column("created_at", Number, nullable=False),
    Column("seen_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Index("sessions_by_owner", "owner", "id"),
    Index("sessions_by_end", "expires_at"),
    **OPTIONS,
)
