"""Step 2: users, failed logins, tokens, sessions."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey

from lepton_ai.catalog.migrations.steps import create_index, create_table
from lepton_ai.catalog.tables.types import Bytes, Number, Words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID, HASH, NAME = 32, 32, 512


def upgrade() -> None:
    """Make the tables of people."""
    create_table(
        "users",
        Column("number", Number, primary_key=True, autoincrement=True),
        _words("name", NAME),
        Column("admin", Boolean, nullable=False),
        _number("created_at"),
        _words("created_by"),
        Column("deactivated_at", Number),
        _number("edition"),
        _words("password"),
        _number("password_at"),
    )
    create_index("users_by_name", "users", ["name"], unique=True)
    create_table(
        "login_failures",
        Column("subject", Bytes(HASH), primary_key=True),
        _number("count"),
        _number("last_at"),
        _number("locked_until"),
    )
    create_index("login_failures_by_time", "login_failures", ["last_at"])
    create_table(
        "tokens",
        Column("id", Words(ID), primary_key=True),
        _owner(),
        _words("name"),
        _words("scopes"),
        Column("hash", Bytes(HASH), nullable=False),
        _number("created_at"),
        _number("expires_at"),
        Column("last_used_at", Number),
        Column("revoked_at", Number),
    )
    create_index("tokens_by_owner", "tokens", ["owner", "id"])
    create_table(
        "sessions",
        Column("id", Words(ID), primary_key=True),
        _owner(),
        Column("hash", Bytes(HASH), nullable=False),
        _words("device"),
        _words("address"),
        _number("created_at"),
        _number("seen_at"),
        _number("expires_at"),
    )
    create_index("sessions_by_owner", "sessions", ["owner", "id"])
    create_index("sessions_by_end", "sessions", ["expires_at"])


def _owner() -> Column[int]:
    return Column("owner", Number, ForeignKey("users.number"), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Number, nullable=False)


def _words(name: str, most: int | None = None) -> Column[str]:
    return Column(name, Words(most), nullable=False)
