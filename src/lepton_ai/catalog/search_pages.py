"""A page of versions that fit, in an order: each statement goes through one index, as far as the page needs.

- When few versions meet a condition (``search_few``), these are looked at, and sorted.
- Else the order is gone through, some versions at first and then more and more at a time, and each is looked at.
  When that leads nowhere, what meets the narrowest condition may still be less than what is ahead.
- Of an order with several keys only the first is gone through. Where a page ends among versions that are alike in it,
  these are a question of their own: the same filter, this value, and the order's other keys.

So no answer hangs on what a database believes about how many versions meet what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Select, and_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog import search_few, search_orders
from lepton_ai.catalog.as_written import in_this_order
from lepton_ai.catalog.search_conditions import Conditions, columns_of
from lepton_ai.catalog.search_few import Few, parts_of
from lepton_ai.catalog.search_orders import Phase, Sorted
from lepton_ai.catalog.tables.search import FOUND
from lepton_ai.history.filters import nodes
from lepton_ai.history.filters.nodes import Compare, Every, Expression, Field, Span
from lepton_ai.history.filters.order import Order

STEPS = {"postgresql": 2000}
"""By the kind of database: versions that are looked at before it is asked where else one could begin. PostgreSQL stops
when the page is full; the others look at all of them first.
"""
_STEPS = 250
_FURTHER = 8
_TWICE = 10_000
"""Whoever has looked at more at a time looks at all the rest."""
_ALL = 1 << 30
_GONE = ("Deleted", "Purged")
_IN_ORDER = [nodes.Field("text", name) for name in ("name", "author", "status")]


class Row(NamedTuple):
    """A version that was found: its place, its first revision's id, and what it has in the columns of the order."""

    place: int
    first: bytes
    values: tuple[Sorted, ...]


class Position(NamedTuple):
    """Behind which version a page begins: what it has in the columns of the order, and its place."""

    values: tuple[Sorted, ...]
    place: int


class Asked(msgspec.Struct, frozen=True):
    """What versions must meet: a filter, and fields that they have nothing in."""

    filter: Expression
    lacking: tuple[Field, ...] = ()

    def also(self, part: Expression) -> Asked:
        """With one more condition."""
        return msgspec.structs.replace(self, filter=Every((*parts_of(self.filter), part)))

    def without(self, field: Field) -> Asked:
        """With nothing in ``field``."""
        return msgspec.structs.replace(self, lacking=(*self.lacking, field))


class Pages:
    """Pages of one repository's versions, read in one transaction; without deleted ones when only ``living`` are asked
    for. With ``places`` only versions at these are looked at.
    """

    def __init__(
        self, connection: Connection, repository: int, *, living: bool, places: Sequence[int] | None = None
    ) -> None:
        self._connection, self._repository, self._living = connection, repository, living
        self._dialect = connection.dialect.name
        self._places = places

    def page(self, asked: Asked, order: Order, after: Position | None, count: int) -> list[Row]:
        """The first ``count`` versions that fit, or those behind ``after``."""
        few = self._few(asked, order)
        if few is not None:
            return self._sorted(few, asked, order, after, count)
        if not order.keys:
            return self._newest(asked, order, after, count)
        return self._by_key(asked, order, after, count)

    def _few(self, asked: Asked, order: Order) -> Few | None:
        if self._places is not None:
            listed = select(FOUND.c.place).where(FOUND.c.repository == self._repository)
            return Few([listed.where(FOUND.c.place.in_(self._places))], asked.filter)
        if _is_in_order(asked, order):
            return None
        return search_few.few(self._connection, self._repository, asked.filter, self._dialect)

    def _newest(self, asked: Asked, order: Order, after: Position | None, count: int) -> list[Row]:
        phase = search_orders.newest(self._repository, order, asked.filter)
        rows = self._walked(asked, phase, None if after is None else (None, after.place), count)
        if isinstance(rows, Few):
            return self._sorted(rows, asked, order, after, count)
        return [Row(place, first, ()) for place, first in rows]

    def _by_key(self, asked: Asked, order: Order, after: Position | None, count: int) -> list[Row]:
        """Through the first key's phases, then those that have nothing there."""
        field, found = order.keys[0].field, list[Row]()
        wide = search_orders.width(field)
        begun = None if after is None else next((n for n in range(wide) if after.values[n] is not None), wide)
        for phase in search_orders.phases(self._repository, order, asked.filter):
            if not phase.possible or (begun is not None and phase.column < begun):
                continue
            here = None if begun != phase.column or after is None else after
            rows = self._of_phase(asked, phase, order, here, count - len(found))
            if isinstance(rows, Few):
                return self._sorted(rows, asked, order, after, count)
            found += rows
            if len(found) >= count:
                return found
        if search_orders.may_lack(field, asked.filter):
            here = None if begun != wide or after is None else Position(after.values[wide:], after.place)
            rest = self.page(asked.without(field), _rest(order), here, count - len(found))
            found += [row._replace(values=((None,) * wide + row.values)) for row in rest]
        return found

    def _of_phase(
        self, asked: Asked, phase: Phase, order: Order, after: Position | None, count: int
    ) -> list[Row] | Few:
        """Rows of one phase. Where the order has more keys, what is alike in its first is asked for by these."""
        field = order.keys[0].field
        wide = search_orders.width(field)
        several, found = len(order.keys) > 1, list[Row]()

        def alike(value: Sorted, here: Position | None) -> list[Row]:
            narrower = asked.also(_equal(field, value))
            rows = self.page(narrower, _rest(order), here, count - len(found))
            return [row._replace(values=_filled(phase, wide, value) + row.values) for row in rows]

        begin: tuple[Sorted, int | None] | None = None
        if after is not None:
            value = after.values[phase.column]
            begin = value, None if several else after.place
            if several:
                found += alike(value, Position(after.values[wide:], after.place))
                if len(found) >= count:
                    return found
        rows = self._walked(asked, phase, begin, count - len(found))
        if isinstance(rows, Few):
            return rows
        if not several:
            return [Row(place, first, _filled(phase, wide, value)) for place, first, value in rows]
        last = rows[-1].value if len(rows) == count - len(found) else None
        sure = [row.place for row in rows if last is None or row.value != last]
        if sure:
            query = select(FOUND.c.place).where(
                FOUND.c.repository == self._repository, FOUND.c.place.in_(sure)
            )
            found += self._sorted(Few([query], Every(())), Asked(Every(())), order, None, len(sure))
        return found if last is None else found + alike(last, None)

    def _walked(
        self, asked: Asked, phase: Phase, begin: tuple[Sorted, int | None] | None, count: int
    ) -> list[Any] | Few:
        """Rows that fit, as the phase has them (place, first, value); or where it is better to begin."""
        found: list[Any] = []
        here, looked, counted = begin, 0, 0
        steps = STEPS.get(self._dialect, _STEPS) if _left(asked, phase) or asked.lacking else count
        if self._dialect == "postgresql" and not asked.lacking and self._is_only_way(asked, phase):
            steps = _ALL
        while True:
            found += self._connection.execute(self._fitting(asked, phase, here, steps, count - len(found)))
            if len(found) >= count or steps == _ALL:
                return found
            end = self._connection.execute(phase.walk(here).offset(steps - 1).limit(1)).first()
            if end is None:
                return found
            looked += steps
            ahead = min(_ALL, (count - len(found)) * looked // max(1, len(found)))
            if ahead > 2 * counted:
                few = search_few.few(
                    self._connection, self._repository, asked.filter, self._dialect, ahead, asked.lacking
                )
                if few is not None:
                    return few
                counted = ahead
            here = (end.value if phase.value is not None else None, end.place)
            steps = steps * _FURTHER if steps < _TWICE else _ALL

    def _is_only_way(self, asked: Asked, phase: Phase) -> bool:
        """Whether all there is to do is to look at one version after the other."""
        left = Every(tuple(_left(asked, phase)))
        return not search_few.can_count(self._repository, left, self._dialect)

    def _fitting(
        self, asked: Asked, phase: Phase, after: tuple[Sorted, int | None] | None, steps: int, count: int
    ) -> Select[Any]:
        """Of the next ``steps`` versions of a phase those that fit."""
        left = Every(tuple(_left(asked, phase)))
        own = phase.source is FOUND
        wanted = {"first"} | columns_of(left) | ({"line"} if asked.lacking else set())
        more = [FOUND.c[name] for name in sorted(wanted - {"place"})] if own else []
        walk = phase.walk(after, *more).limit(steps).subquery("walk")
        rows = walk.c if own else FOUND.c
        source = walk if own else walk.join(FOUND, self._mine(FOUND.c.place == walk.c.place))
        value = None if phase.value is None else walk.c.value
        named = [] if value is None else [value]
        query = in_this_order(select(walk.c.place, rows.first, *named)).select_from(source)
        query = query.where(self._condition(left, asked.lacking, walk.c.place, rows))
        return query.order_by(*phase.sorting(value, walk.c.place)).limit(count)

    def _sorted(self, few: Few, asked: Asked, order: Order, after: Position | None, count: int) -> list[Row]:
        """Of few versions those that fit, sorted."""
        if not few.queries:
            return []
        columns = search_orders.columns(self._repository, order)
        columns.append(search_orders.Column(FOUND.c.place, order.newest_first, int))
        listed = few.listed()
        named = [column.expression.label(f"by{number}") for number, column in enumerate(columns)]
        query = in_this_order(select(FOUND.c.first, *named))
        query = query.select_from(listed.join(FOUND, self._mine(FOUND.c.place == listed.c.place)))
        query = query.where(self._condition(few.left, asked.lacking, listed.c.place, FOUND.c))
        # All is put together before it is sorted: the database is not to hope for a page of it sooner in another way.
        found = query.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
        columns = [
            column._replace(expression=found.c[f"by{number}"]) for number, column in enumerate(columns)
        ]
        page = select(*found.c).order_by(*search_orders.sorting(columns)).limit(count)
        if after is not None:
            page = page.where(search_orders.behind(columns, (*after.values, after.place)))
        return [Row(row[-1], row[0], tuple(row[1:-1])) for row in self._connection.execute(page)]

    def _mine(self, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(FOUND.c.repository == self._repository, condition)

    def _condition(
        self, wanted: Expression, lacking: tuple[Field, ...], place: Any, rows: Any
    ) -> ColumnElement[bool]:
        conditions = Conditions(self._repository, self._dialect, place, rows)
        found = [conditions.of(wanted), *(conditions.lacks(field) for field in lacking)]
        if self._living:
            found.insert(0, rows.status.not_in(_GONE))
        return and_(*found)


def _is_in_order(asked: Asked, order: Order) -> bool:
    """Whether an index has exactly what is asked for, in the order of the answer."""
    parts = list(parts_of(asked.filter))
    if not parts:
        return True
    one = parts[0]
    single = len(parts) == 1 and isinstance(one, Compare) and one.sign == "="
    return single and not order.keys and nodes.field_of(one) in _IN_ORDER


def _left(asked: Asked, phase: Phase) -> list[Expression]:
    """What of the filter the versions of a phase have still to be asked."""
    return [part for part in parts_of(asked.filter) if part not in phase.met]


def _rest(order: Order) -> Order:
    return msgspec.structs.replace(order, keys=order.keys[1:])


def _equal(field: Field, value: Sorted) -> Expression:
    """A condition that is met by what has this value of a key."""
    if field.kind == "time" and isinstance(value, int):
        return Compare(field, "=", Span(value, value + 1))
    assert value is not None  # noqa: S101  (what has none is in no phase)
    return Compare(field, "=", value)


def _filled(phase: Phase, wide: int, value: Sorted) -> tuple[Sorted, ...]:
    """The columns of a key, of which the phase is about one."""
    return tuple(value if column == phase.column else None for column in range(wide))
