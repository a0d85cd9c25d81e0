"""A whole table in the order of its primary key, batch by batch: memory does not grow, and one may go on later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, Table, and_, literal, or_, select, tuple_
from sqlalchemy.engine import Connection

BATCH = 1000


def walk(
    connection: Connection, table: Table, after: Sequence[Any] | None = None
) -> Iterator[list[Row[Any]]]:
    """Batches of rows, from the one after the key ``after`` on."""
    key = list(table.primary_key.columns)
    places = [table.columns.keys().index(column.name) for column in key]
    while True:
        query = select(table).order_by(*key).limit(BATCH)
        if after is not None:
            query = query.where(behind(connection, key, after))
        rows = list(connection.execute(query))
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        after = [rows[-1][place] for place in places]


def last_key(connection: Connection, table: Table) -> Sequence[Any] | None:
    """The greatest primary key in the table; None when it is empty."""
    key = list(table.primary_key.columns)
    return connection.execute(select(*key).order_by(*(column.desc() for column in key)).limit(1)).first()


def behind(connection: Connection, key: list[Any], after: Sequence[Any]) -> Any:
    """Whether a row's key is greater than ``after``, in the words that the database finds an index for."""
    if connection.dialect.name not in {"mysql", "mariadb"}:
        return tuple_(*key) > tuple_(
            *(literal(value, column.type) for column, value in zip(key, after, strict=True))
        )
    return or_(
        *(
            and_(*(key[n] == after[n] for n in range(place)), key[place] > after[place])
            for place in range(len(key))
        )
    )
