"""From a key of an order to statements in SQL that go through an index.

An order by a metric has two phases, by a param three: the versions that have the number, in the order of its index;
those that have a text; the rest. So a page takes what it shows, and what is missing comes last everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Select, and_, or_, select
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog.search_conditions import in_time, value_name
from lepton_ai.catalog.search_few import numeric, parts_of
from lepton_ai.catalog.tables.search import FOUND, LINES, NUMBERS, WORDS
from lepton_ai.history.filters.nodes import Among, Compare, Contains, Expression, Field, Like, Span, field_of
from lepton_ai.history.filters.order import Key, Order

Sorted = int | float | str | None
"""What a version has in a column of an order."""
_TEXTS = [Field("text", name) for name in ("name", "author", "status")]


class Column(NamedTuple):
    """A column to sort by. ``kind`` is what its values are; ``nullable``: NULL comes last."""

    expression: Any
    descending: bool
    kind: type[int] | type[float] | type[str]
    nullable: bool = False


class Phase(msgspec.Struct, frozen=True):
    """A part of an order: the versions of ``source`` that have a ``value`` there (None: all), in the order of an index.

    ``column`` is which of the key's columns the value is.
    """

    source: Any
    place: Any
    value: Any
    given: tuple[ColumnElement[bool], ...]
    descending: bool
    newest_first: bool
    column: int = 0
    possible: bool = True
    """False: the filter lets nothing through that is in this part."""
    met: tuple[Expression, ...] = ()
    """What of the filter all of them meet."""

    def walk(self, after: tuple[Sorted, int | None] | None, *more: Any) -> Select[Any]:
        """``place`` and ``value`` of the versions behind a value and place; without a place behind all of the value.

        And ``more`` columns of the source.
        """
        place = self.place.label("place")
        query = (
            select(place, *more) if self.value is None else select(place, self.value.label("value"), *more)
        )
        query = query.select_from(self.source).where(*self.given)
        if after is not None:
            query = query.where(self._behind(*after))
        return query.order_by(*self.sorting(self.value, self.place))

    def sorting(self, value: Any, place: Any) -> list[Any]:
        """The order, told by these columns."""
        by_value = [] if value is None else [value.desc() if self.descending else value]
        return [*by_value, place.desc() if self.newest_first else place]

    def _behind(self, value: Sorted, place: int | None) -> ColumnElement[bool]:
        if place is None:
            return _beyond(self.value, value, descending=self.descending)
        further = _beyond(self.place, place, descending=self.newest_first)
        if self.value is None:
            return further
        # The first says nothing new, but is one range, which an index can begin with.
        bound: ColumnElement[bool] = self.value <= value if self.descending else self.value >= value
        beyond = _beyond(self.value, value, descending=self.descending)
        return and_(bound, or_(beyond, and_(self.value == value, further)))


def newest(repository: int, order: Order, wanted: Expression) -> Phase:
    """All versions, as they came."""
    met = tuple(
        part
        for part in parts_of(wanted)
        if isinstance(part, Compare) and part.sign == "=" and part.field in _TEXTS
    )
    same = [FOUND.c[part.field.name] == part.value for part in met]
    given = (FOUND.c.repository == repository, *same)
    return Phase(FOUND, FOUND.c.place, None, given, order.newest_first, order.newest_first, met=met)


def phases(repository: int, order: Order, wanted: Expression) -> list[Phase]:
    """The parts of the order's first key, one after the other, without the versions that have nothing there.

    What ``wanted`` says of that key is asked of it here.
    """
    key = order.keys[0]
    # Where there are more keys, it is they who say how those follow that are alike in the first.
    newest_first = order.newest_first if len(order.keys) == 1 else key.descending
    field, ways = key.field, (key.descending, newest_first)
    if field.kind in ("metric", "param"):
        return _by_value(repository, key, newest_first, wanted)
    mine = FOUND.c.repository == repository
    if field.name == "branch" and field.kind == "text":
        named = (LINES.c.repository == repository) & (LINES.c.line == FOUND.c.line)
        return [Phase(LINES.join(FOUND, named), FOUND.c.place, LINES.c.name, (mine,), *ways)]
    said = {
        part: in_time(FOUND.c[field.name], part.sign, part.value)
        for part in _said(field, wanted)
        if isinstance(part, Compare) and isinstance(part.value, Span)
    }
    given = (mine, *said.values())
    return [Phase(FOUND, FOUND.c.place, FOUND.c[field.name], given, *ways, met=tuple(said))]


def _by_value(repository: int, key: Key, newest_first: bool, wanted: Expression) -> list[Phase]:
    said = _said(key.field, wanted)
    kinds = _kinds_of(said)
    found = []
    for column, (table, kind) in enumerate(tables_of(key.field)):
        values = table.alias("ordered")
        # Said of the version already, but here it is where the walk through the index begins and ends.
        ends = {part: numeric(values.c.value, part) for part in said if kind is float}
        met = tuple(part for part, end in ends.items() if end is not None)
        given = (
            values.c.repository == repository,
            values.c.name == value_name(key.field),
            values.c.value.is_not(None),
            *(end for end in ends.values() if end is not None),
        )
        ways = (key.descending, newest_first, column, kind in kinds, met)
        found.append(Phase(values, values.c.place, values.c.value, given, *ways))
    return found


def may_lack(field: Field, wanted: Expression) -> bool:
    """Whether versions that fit may have nothing there to sort by."""
    if field.kind == "text" and field.name == "branch":
        return True
    return field.kind in ("metric", "param") and None in _kinds_of(_said(field, wanted))


def tables_of(field: Field) -> list[tuple[Any, type[float] | type[str]]]:
    """Where the values of a metric or param are, and what they are."""
    return [(NUMBERS, float)] if field.kind == "metric" else [(NUMBERS, float), (WORDS, str)]


def columns(repository: int, order: Order) -> list[Column]:
    """All that the order goes by, asked of rows of ``search_versions``."""
    return [column for key in order.keys for column in _columns(repository, key)]


def width(field: Field) -> int:
    """How many columns a key has."""
    return 2 if field.kind == "param" else 1


def _columns(repository: int, key: Key) -> list[Column]:
    field = key.field
    if field.kind in ("metric", "param"):
        found = []
        for table, kind in tables_of(field):
            mine = (table.c.repository == repository, table.c.name == value_name(field))
            query = select(table.c.value).where(*mine, table.c.place == FOUND.c.place).correlate_except(table)
            found.append(Column(query.scalar_subquery(), key.descending, kind, nullable=True))
        return found
    if field.kind == "text" and field.name == "branch":
        mine = (LINES.c.repository == repository, LINES.c.line == FOUND.c.line)
        name = select(LINES.c.name).where(*mine).correlate_except(LINES).scalar_subquery()
        return [Column(name, key.descending, str, nullable=True)]
    return [Column(FOUND.c[field.name], key.descending, str if field.kind == "text" else int)]


def behind(columns: list[Column], values: tuple[Sorted, ...]) -> ColumnElement[bool]:
    """Whether a row comes after these values of the columns."""
    alike: list[ColumnElement[bool]] = []
    found = []
    for column, value in zip(columns, values, strict=True):
        if value is not None:
            further = _beyond(column.expression, value, descending=column.descending)
            found.append(
                and_(*alike, or_(further, column.expression.is_(None)) if column.nullable else further)
            )
        alike.append(column.expression.is_(None) if value is None else column.expression == value)
    return or_(*found)


def sorting(columns: list[Column]) -> list[Any]:
    """The order of the columns, what is missing last."""
    found = []
    for column in columns:
        if column.nullable:
            found.append(column.expression.is_(None))
        found.append(column.expression.desc() if column.descending else column.expression)
    return found


def _beyond(expression: Any, value: Sorted, *, descending: bool) -> ColumnElement[bool]:
    found: ColumnElement[bool] = expression < value if descending else expression > value
    return found


def _said(field: Field, wanted: Expression) -> list[Expression]:
    return [part for part in parts_of(wanted) if field_of(part) == field]


def _kinds_of(said: list[Expression]) -> set[type[float] | type[str] | None]:
    """What a version may have in a metric or param to pass all of it; None: nothing."""
    return set.intersection({float, str, None}, *(_kinds(part) for part in said))


def _kinds(asked: Expression) -> set[type[float] | type[str] | None]:
    if isinstance(asked, Contains | Like):
        return {str}
    if isinstance(asked, Compare | Among):
        values = asked.values if isinstance(asked, Among) else (asked.value,)
        if isinstance(asked, Compare) and asked.sign == "!=":
            return {float, str}
        return {str if isinstance(value, str) else float for value in values}
    return {float, str, None}
