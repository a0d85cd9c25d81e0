"""Acts that a step is made of. Each may be repeated: MySQL cannot undo half a step when a server is killed in it."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import inspect

from lepton_ai.catalog.tables.types import OPTIONS


def create_table(name: str, *columns: Any) -> None:
    """Make a table, unless it is there."""
    if not inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns, **OPTIONS)


def create_index(name: str, table: str, columns: list[str], *, unique: bool = False, **options: Any) -> None:
    """Make an index, unless it is there."""
    there = {index["name"] for index in inspect(op.get_bind()).get_indexes(table)}
    if name not in there:
        op.create_index(name, table, columns, unique=unique, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index, if it is there."""
    there = {index["name"] for index in inspect(op.get_bind()).get_indexes(table)}
    if name in there:
        op.drop_index(name, table)


def add_column(table: str, column: Any) -> None:
    """Add a column, unless it is there."""
    there = {one["name"] for one in inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
