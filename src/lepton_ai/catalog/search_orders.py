"""From an order to statements in SQL that read a page of it, however far it is.

An order by a metric is read in two phases, by a param in three: the versions that have the number, in the order of its
index; those that have a text; the rest. So a page takes what it shows, and what is missing comes last everywhere.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Select, and_, or_, select
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog.search_conditions import Conditions, value_name
from lepton_ai.catalog.search_few import numeric, parts_of
from lepton_ai.catalog.tables.search import FOUND, LINES, NUMBERS, WORDS
from lepton_ai.history.filters.nodes import EVERYTHING, Among, Compare, Contains, Expression, Like, field_of
from lepton_ai.history.filters.order import Key, Order

Sorted = int | float | str | None
"""What a version has in a column of an order."""


class Column(msgspec.Struct, frozen=True):
    """A column to sort by. ``kind`` is what its values are; ``nullable``: NULL comes last."""

    expression: Any
    descending: bool
    kind: type[int] | type[float] | type[str]
    nullable: bool = False


class Phase(msgspec.Struct, frozen=True):
    """A part of an order: the versions of ``source`` that fit ``conditions``, by ``columns``, then by ``place``."""

    source: Any
    place: Any
    conditions: tuple[ColumnElement[bool], ...]
    columns: tuple[Column, ...]
    newest_first: bool
    possible: bool = True
    """False: the filter lets nothing through that is in this part."""

    def statement(
        self,
        wanted: ColumnElement[bool],
        after: tuple[tuple[Sorted, ...], int] | None,
        *,
        little: bool = False,
    ) -> Select[Any]:
        """Places, ids of first revisions and values, behind what ``after`` says (values and place).

        With ``little`` all that fits is put together before it is ordered: the database is not to hope that it comes
        upon a page of it sooner by going through the order.
        """
        columns = self.columns
        named = [column.expression.label(f"by{number}") for number, column in enumerate(columns)]
        query = select(self.place.label("place"), FOUND.c.first, *named).select_from(self.source)
        query = query.where(*self.conditions, wanted)
        if after is not None:
            query = query.where(self._behind(*after))
        place = self.place
        if little:
            found = query.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
            query, place = select(*found.c), found.c.place
            columns = tuple(
                msgspec.structs.replace(column, expression=found.c[f"by{number}"])
                for number, column in enumerate(columns)
            )
        for column in columns:
            if column.nullable:
                query = query.order_by(column.expression.is_(None))
            query = query.order_by(column.expression.desc() if column.descending else column.expression)
        return query.order_by(place.desc() if self.newest_first else place)

    def _behind(self, values: tuple[Sorted, ...], place: int) -> ColumnElement[bool]:
        last = Column(self.place, self.newest_first, int)
        alike: list[ColumnElement[bool]] = []
        found = []
        for column, value in zip((*self.columns, last), (*values, place), strict=True):
            if value is not None:
                found.append(and_(*alike, _beyond(column, value)))
            alike.append(column.expression.is_(None) if value is None else column.expression == value)
        bound = _bound(self.columns[0], values[0]) if self.columns else None
        return or_(*found) if bound is None else and_(bound, or_(*found))


def phases(conditions: Conditions, order: Order, wanted: Expression = EVERYTHING) -> list[Phase]:
    """The parts of an order, one after the other; what ``wanted`` says of its first key is asked of that one."""
    mine = FOUND.c.repository == conditions.repository
    if not order.keys or order.keys[0].field.kind not in ("metric", "param"):
        return [_phase(conditions, order.keys, order, FOUND, FOUND.c.place, (mine,), ())]
    key, rest = order.keys[0], order.keys[1:]
    tables = [(NUMBERS, float)] if key.field.kind == "metric" else [(NUMBERS, float), (WORDS, str)]
    said = [part for part in parts_of(wanted) if field_of(part) == key.field]
    kinds = set.intersection({float, str, None}, *(_kinds(part) for part in said))
    found = []
    for table, kind in tables:
        values = table.alias("ordered")
        joined = (values.c.repository == conditions.repository) & (values.c.name == value_name(key.field))
        source = values.join(FOUND, mine & (FOUND.c.place == values.c.place))
        first = Column(values.c.value, key.descending, kind)
        # Said of the version already, but here it is where the walk through the index begins and ends.
        ends = [numeric(values.c.value, part) for part in said] if kind is float else []
        given = (joined, values.c.value.is_not(None), *(end for end in ends if end is not None))
        part = _phase(conditions, rest, order, source, values.c.place, given, (first,))
        found.append(msgspec.structs.replace(part, possible=kind in kinds))
    missing = [~conditions.number(key.field, NUMBERS.c.value.is_not(None))]
    if key.field.kind == "param":
        missing.append(~conditions.word(key.field, WORDS.c.value.is_not(None)))
    without = _phase(conditions, rest, order, FOUND, FOUND.c.place, (mine, *missing), ())
    return [*found, msgspec.structs.replace(without, possible=None in kinds)]


def _kinds(asked: Expression) -> set[type[float] | type[str] | None]:
    """What a version may have in a metric or param to pass; None: nothing."""
    if isinstance(asked, Contains | Like):
        return {str}
    if isinstance(asked, Compare | Among):
        values = asked.values if isinstance(asked, Among) else (asked.value,)
        if isinstance(asked, Compare) and asked.sign == "!=":
            return {float, str}
        return {str if isinstance(value, str) else float for value in values}
    return {float, str, None}


def _phase(
    conditions: Conditions,
    keys: tuple[Key, ...],
    order: Order,
    source: Any,
    place: Any,
    given: tuple[ColumnElement[bool], ...],
    first: tuple[Column, ...],
) -> Phase:
    columns = list(first)
    for number, key in enumerate(keys):
        field = key.field
        if field.name == "branch" and field.kind == "text":
            lines = LINES.alias(f"lines{number}")
            mine = (lines.c.repository == conditions.repository) & (lines.c.line == FOUND.c.line)
            source = source.outerjoin(lines, mine)
            columns.append(Column(lines.c.name, key.descending, str, nullable=True))
        elif field.kind in ("metric", "param"):
            tables = [(NUMBERS, float)] if field.kind == "metric" else [(NUMBERS, float), (WORDS, str)]
            for table, kind in tables:
                values = table.alias(f"{table.name}{number}")
                mine = (values.c.repository == conditions.repository) & (values.c.place == FOUND.c.place)
                source = source.outerjoin(values, mine & (values.c.name == value_name(field)))
                columns.append(Column(values.c.value, key.descending, kind, nullable=True))
        else:
            columns.append(Column(FOUND.c[field.name], key.descending, str if field.kind == "text" else int))
    return Phase(source, place, given, tuple(columns), order.newest_first)


def _beyond(column: Column, value: Sorted) -> ColumnElement[bool]:
    further = column.expression < value if column.descending else column.expression > value
    found: ColumnElement[bool] = or_(further, column.expression.is_(None)) if column.nullable else further
    return found


def _bound(column: Column, value: Sorted) -> ColumnElement[bool] | None:
    """Says nothing new, but is one range, which an index can begin with."""
    if column.nullable or value is None:
        return None
    found: ColumnElement[bool] = (
        column.expression <= value if column.descending else column.expression >= value
    )
    return found
