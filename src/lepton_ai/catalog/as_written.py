"""Have a database go about a question as it is written, where it would guess wrongly what is little."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Connection

_IN_STEPS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "enable_hashjoin": "off", "enable_memoize": "off", "enable_mergejoin": "off", "enable_bitmapscan": "off",
        "max_parallel_workers_per_gather": "0", "jit": "off",
    }.items()
)  # fmt: skip


def in_steps(connection: Connection) -> None:
    """Until the end of the transaction have PostgreSQL go from row to row.

    It believes too often that little fits, and then puts together whole repositories instead of one page.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_IN_STEPS)


def in_this_order(query: Select[Any]) -> Select[Any]:
    """MariaDB is told to join the tables as they are written; the others do."""
    return query.prefix_with("STRAIGHT_JOIN", dialect="mysql").prefix_with("STRAIGHT_JOIN", dialect="mariadb")
