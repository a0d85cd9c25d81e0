"""Rows for every table, whatever form the database has: made from the columns that are there."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.engine import Connection

from lepton_ai.catalog.dumps import count_on, tables_of

ROWS = 3


def fill(connection: Connection, rows: int = ROWS) -> None:
    """Put ``rows`` rows into every table, each with values of its own; references fit."""
    for table in tables_of(connection):
        connection.execute(insert(table), [_row(table, number) for number in range(1, rows + 1)])
        count_on(connection, table)


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Any, number: int) -> Any:
    for key in column.foreign_keys:
        return _value(key.column, number)
    kind = column.type.python_type
    if kind is bool or getattr(column.type, "display_width", None) == 1:  # as MySQL keeps it
        return number % 2 == 0
    if kind is int:
        # "removed" and the like are unique beside others; whole 64 bits where nothing counts on from there.
        return number if column.primary_key else (1 << 62) + number
    if kind is bytes:
        made = hashlib.sha256(f"{column.table.name}.{column.name} {number}".encode()).digest()
        most = getattr(column.type, "length", None) or 32
        text = made.hex().encode() if most > 64 else made
        return (b"\0" + text[1:])[: min(most, 32)]
    return kind(number)
