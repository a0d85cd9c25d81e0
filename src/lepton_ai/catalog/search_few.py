"""Where a search begins: at what its narrowest condition lets through, when that is little.

No database can tell beforehand how many versions of one repository have an accuracy above 0.99: what it knows of a
table's values is about all repositories and all names together. Guessing wrongly, it looks at every version of the
repository. So each condition that has an index is counted first, no further than ``MOST``; what costs an index
thousands of entries at most then bounds all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, true, union_all
from sqlalchemy.engine import Connection
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog.search_conditions import SIGNS, in_time, value_name
from lepton_ai.catalog.search_texts import like, prefix_of
from lepton_ai.catalog.tables.search import FOUND, LABELS, LINES, NUMBERS, WORDS
from lepton_ai.history.filters.nodes import (
    Among,
    Compare,
    Contains,
    Either,
    Every,
    Exists,
    Expression,
    Field,
    Like,
    Not,
    Span,
)

MOST = 2000
"""Versions: more of them are not listed one by one, the search goes through the order and looks at each."""
_CONDITIONS = 16
"""More are not counted."""

Asked = Compare | Among | Contains | Like | Exists
Together = tuple[Asked, ...]
"""Conditions on one metric or param, or one field, which one entry of an index meets: ``> 0.5 AND < 0.6``."""


class Few(NamedTuple):
    """At most ``MOST`` versions, among which all that fit are: their places, by ``queries`` (without any: none fits).

    ``left`` is what they have still to be asked.
    """

    queries: list[Select[Any]]
    left: Expression

    def one_of(self, places: Any) -> ColumnElement[bool]:
        """Whether ``places`` (a column) is among theirs."""
        parts = [select(query.subquery().c.place) for query in self.queries]
        listed = parts[0] if len(parts) == 1 else union_all(*parts)
        # Materialized: the database is to begin there, and not to think of a better way.
        table = listed.cte("few").prefix_with("MATERIALIZED", dialect="postgresql")
        found: ColumnElement[bool] = places.in_(select(table.c.place))
        return found


def few(connection: Connection, repository: int, wanted: Expression, dialect: str) -> Few | None:
    """Where a search for ``wanted`` may begin; None: more versions than ``MOST`` meet every single condition."""
    listed = {some: _places(repository, some, dialect) for some in _conditions(wanted)}
    known = {some: query for some, query in listed.items() if query is not None}
    if not known or len(known) > _CONDITIONS:
        return None
    counts = _count(connection, known)
    found = _narrowest(wanted, counts)
    if found is None:
        return None
    met = found[0] if len(found) == 1 else ()
    left = Every(tuple(part for part in parts_of(wanted) if part not in met))
    return Few([known[some].limit(counts[some]) for some in found if counts[some]], left)


def parts_of(wanted: Expression) -> Iterator[Expression]:
    """What all has to hold."""
    if isinstance(wanted, Every):
        for part in wanted.parts:
            yield from parts_of(part)
    else:
        yield wanted


def _count(connection: Connection, known: dict[Together, Select[Any]]) -> dict[Together, int]:
    """How many entries there are for each, or ``MOST`` + 1: in one statement."""
    numbers = [
        select(func.count()).select_from(query.limit(MOST + 1).subquery()).scalar_subquery()
        for query in known.values()
    ]
    row = connection.execute(select(*numbers)).one()
    return dict(zip(known, row, strict=True))


def _narrowest(wanted: Expression, counts: dict[Together, int]) -> list[Together] | None:
    """The conditions to begin with, one of which everything that fits meets; None: too many versions do."""
    if isinstance(wanted, Either):
        every = [_narrowest(part, counts) for part in wanted.parts]
        if not every or any(part is None for part in every):
            return None
        joined = [some for part in every for some in part or ()]
        return joined if _sum(joined, counts) <= MOST else None
    ways = [[some] for some in _together(wanted) if counts.get(some, MOST + 1) <= MOST]
    if isinstance(wanted, Every):
        inner = [_narrowest(part, counts) for part in parts_of(wanted) if isinstance(part, Either)]
        ways += [way for way in inner if way is not None]
    return min(ways, key=lambda way: _sum(way, counts), default=None)


def _sum(some: list[Together], counts: dict[Together, int]) -> int:
    return sum(counts[one] for one in some)


def _conditions(wanted: Expression) -> Iterator[Together]:
    """Everything that could be counted."""
    yield from _together(wanted)
    for part in parts_of(wanted):
        if isinstance(part, Either):
            for inner in part.parts:
                yield from _conditions(inner)


def _together(wanted: Expression) -> list[Together]:
    """Of what all has to hold, the plain conditions; those on one value as one."""
    found: dict[Field, list[Asked]] = {}
    alone: list[Together] = []
    for part in parts_of(wanted):
        if isinstance(part, Compare) and part.sign != "!=" and part.field.kind in ("metric", "param", "time"):
            found.setdefault(part.field, []).append(part)
        elif not isinstance(part, Every | Either | Not):
            alone.append((part,))
    return [*(tuple(some) for some in found.values()), *alone]


def _places(repository: int, some: Together, dialect: str) -> Select[Any] | None:
    """The places of the versions that meet them, read from an index alone; None: no index has them."""
    field, asked = some[0].field, some[0]
    found: Select[Any] | None = None
    if any(isinstance(part, Compare) and part.sign == "!=" for part in some):
        return None
    if field.kind in ("metric", "param"):
        found = _by_value(repository, field, some, dialect)
    elif field.kind == "words":
        test = true() if isinstance(asked, Exists) else _text(LABELS.c.name, asked, dialect)
        found = None if test is None else _of(LABELS, repository, LABELS.c.kind == field.name, test)
    elif field.kind == "time":
        spans = [(part.sign, part.value) for part in some if isinstance(part, Compare)]
        tests = [in_time(FOUND.c[field.name], sign, span) for sign, span in spans if isinstance(span, Span)]
        found = _of(FOUND, repository, *tests) if tests else None
    elif field.name == "branch":
        test = _text(LINES.c.name, asked, dialect)
        lines = select(LINES.c.line).where(LINES.c.repository == repository)
        found = None if test is None else _of(FOUND, repository, FOUND.c.line.in_(lines.where(test)))
    elif field.kind == "text" and field.name != "message":
        test = _text(FOUND.c[field.name], asked, dialect)
        found = None if test is None else _of(FOUND, repository, test)
    return found


def _by_value(repository: int, field: Field, some: Together, dialect: str) -> Select[Any] | None:
    name = value_name(field)
    if isinstance(some[0], Exists):
        return _of(NUMBERS, repository, NUMBERS.c.name == name) if field.kind == "metric" else None
    numbers = [numeric(NUMBERS.c.value, part) for part in some]
    tests = [test for test in numbers if test is not None]
    if len(tests) == len(some):
        return _of(NUMBERS, repository, NUMBERS.c.name == name, *tests)
    texts = [_text(WORDS.c.value, part, dialect) for part in some]
    tests = [test for test in texts if test is not None]
    return _of(WORDS, repository, WORDS.c.name == name, *tests) if len(tests) == len(some) else None


def _of(table: Any, repository: int, *tests: ColumnElement[bool]) -> Select[Any]:
    return select(table.c.place).where(table.c.repository == repository, *tests)


def numeric(column: Any, asked: Expression) -> ColumnElement[bool] | None:
    """A comparison with numbers, asked of ``column``; None: it is another one."""
    found: ColumnElement[bool] | None = None
    if isinstance(asked, Compare) and isinstance(asked.value, int | float):
        found = SIGNS[asked.sign](column, asked.value)
    elif isinstance(asked, Among) and all(isinstance(value, int | float) for value in asked.values):
        found = column.in_(asked.values)
    return found


def _text(column: Any, asked: Expression, dialect: str) -> ColumnElement[bool] | None:
    found: ColumnElement[bool] | None = None
    if isinstance(asked, Compare) and asked.sign == "=" and isinstance(asked.value, str):
        found = column == asked.value
    elif isinstance(asked, Among) and all(isinstance(value, str) for value in asked.values):
        found = column.in_(asked.values)
    elif isinstance(asked, Like) and prefix_of(asked.pattern):
        found = like(column, asked.pattern, dialect)
    return found
