"""Step 1: repositories, refs, log, versions, contents, packs."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, PrimaryKeyConstraint, UniqueConstraint

from lepton_ai.catalog.migrations.steps import create_index, create_table
from lepton_ai.catalog.tables.types import Bytes, Number, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID, KEY, NAME = 32, 2000, 512


def upgrade() -> None:
    """Make the first tables."""
    _repositories()
    _history()
    _rows()
    create_table(
        "packs",
        _repository(),
        _number("number"),
        _words("name", 64),
        _number("size"),
        _number("written_at"),
        PrimaryKeyConstraint("repository", "number"),
    )
    create_index("packs_by_name", "packs", ["repository", "name"], unique=True)


def _repositories() -> None:
    create_table(
        "repositories",
        Column("number", Number, primary_key=True, autoincrement=True),
        _words("owner", NAME),
        _words("name", NAME),
        _number("removed"),
        _words("description"),
        _words("id", NAME),
        _words("place", 64),
        Column("encrypted", Boolean, nullable=False),
        _number("block_size"),
        _number("format"),
        _number("created_at"),
        _words("created_by"),
        _number("changed_at"),
        _number("edition"),
        UniqueConstraint("removed", "owner", "name", name="repositories_by_name"),
    )
    create_table(
        "counters",
        Column(
            "repository", Number, ForeignKey("repositories.number"), primary_key=True, autoincrement=False
        ),
        _number("stamp"),
        _number("logged"),
        _number("saved"),
        _number("packed"),
    )
    create_table(
        "key_files",
        _repository(),
        _words("name", NAME),
        _bytes("content"),
        PrimaryKeyConstraint("repository", "name"),
    )


def _history() -> None:
    create_table(
        "refs",
        _repository(),
        _words("key", KEY),
        _bytes("value"),
        _number("stamp"),
        PrimaryKeyConstraint("repository", "key"),
    )
    create_table(
        "log",
        _repository(),
        _number("number"),
        _number("stamp"),
        _number("at"),
        _words("actor"),
        _words("act"),
        _words("why"),
        _words("key", KEY),
        Column("before", Bytes()),
        Column("after", Bytes()),
        PrimaryKeyConstraint("repository", "number"),
    )
    create_table(
        "log_under",
        _repository(),
        _words("prefix", KEY),
        _number("number"),
        PrimaryKeyConstraint("repository", "prefix", "number"),
    )
    create_table(
        "commits",
        _repository(),
        _number("stamp"),
        _bytes("token", 16),
        PrimaryKeyConstraint("repository", "stamp"),
    )


def _rows() -> None:
    create_table(
        "versions",
        _repository(),
        _number("sequence"),
        _bytes("id", ID),
        _bytes("first", ID),
        _number("revision"),
        _words("name", NAME),
        _words("branch", NAME),
        _bytes("parents"),
        Column("jump", Bytes(ID)),
        _number("depth"),
        _number("created_at"),
        _bytes("record"),
        PrimaryKeyConstraint("repository", "sequence"),
    )
    create_index("versions_by_id", "versions", ["repository", "id"], unique=True)
    create_index("versions_by_first", "versions", ["repository", "first", "revision"])
    create_index("versions_by_name", "versions", ["repository", "name", "revision", "sequence"])
    create_index("versions_in_order", "versions", ["repository", "revision", "sequence"])
    create_table(
        "contents",
        _repository(),
        _bytes("sha256", ID),
        _number("size"),
        _number("stored"),
        _bytes("manifest"),
        PrimaryKeyConstraint("repository", "sha256"),
    )


def _repository() -> Column[int]:
    return Column("repository", Number, ForeignKey("repositories.number"), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Number, nullable=False)


def _words(name: str, most: int | None = None) -> Column[str]:
    return Column(name, Words(most), nullable=False)


def _bytes(name: str, most: int | None = None) -> Column[bytes]:
    return Column(name, Bytes(most), nullable=False)
