"""Step 4: the version index. Histories that are there already get theirs by ``search_index.rebuild``."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, PrimaryKeyConstraint

from lepton_ai.catalog.migrations.steps import create_index, create_table
from lepton_ai.catalog.tables.types import Bytes, Number, Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID, NAME, TEXT, VALUE_NAME = 32, 512, 1200, 1210


def upgrade() -> None:
    """Make the tables."""
    _versions()
    for table, value in (
        ("search_numbers", Column("value", Double)),
        ("search_words", _words("value", TEXT)),
    ):
        create_table(
            table,
            _repository(),
            _words("name", VALUE_NAME),
            _number("place"),
            value,
            *([_words("folded")] if table == "search_words" else []),
            PrimaryKeyConstraint("repository", "name", "place"),
        )
        create_index(f"{table}_in_order", table, ["repository", "name", "value", "place"])
        create_index(f"{table}_by_place", table, ["repository", "place"])
    create_table(
        "search_labels",
        _repository(),
        _words("kind", 8),
        _words("name", NAME),
        _words("folded"),
        _number("place"),
        PrimaryKeyConstraint("repository", "kind", "name"),
    )
    create_index("search_labels_by_place", "search_labels", ["repository", "place", "kind"])
    create_table(
        "search_lines",
        _repository(),
        _words("line", NAME),
        _words("name", NAME),
        _words("folded"),
        PrimaryKeyConstraint("repository", "line"),
    )
    create_index("search_lines_by_name", "search_lines", ["repository", "name"])


def _versions() -> None:
    create_table(
        "search_versions",
        _repository(),
        _number("place"),
        Column("first", Bytes(ID), nullable=False),
        _words("id", 64),
        _words("name", NAME),
        _words("name_folded"),
        _words("line", NAME),
        _words("author", TEXT),
        _words("author_folded"),
        _words("message"),
        _words("message_folded"),
        _words("status", 16),
        _words("content", 64),
        *(_number(name) for name in ("created", "updated", "revision", "size")),
        PrimaryKeyConstraint("repository", "place"),
    )
    create_index("search_by_first", "search_versions", ["repository", "first"], unique=True)
    for column in ("id", "content"):
        create_index(f"search_by_{column}", "search_versions", ["repository", column])
    for column in ("name", "line", "author", "status", "created", "updated"):
        create_index(f"search_by_{column}", "search_versions", ["repository", column, "place"])


def _repository() -> Column[int]:
    return Column("repository", Number, ForeignKey("repositories.number"), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Number, nullable=False)


def _words(name: str, most: int | None = None) -> Column[str]:
    return Column(name, Words(most), nullable=False)
