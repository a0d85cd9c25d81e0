"""Where a search begins: at what its narrowest condition lets through, when that is little.

No database can tell beforehand how many versions of one repository have an accuracy above 0.99: what it knows of a
table's values is about all repositories and all names together. Guessing wrongly, it looks at every version of the
repository. So each condition that has an index is counted first, no further than ``MOST``; what costs an index
thousands of entries at most then bounds all the rest. When going through the order turns out to be long, it is counted
again, as far as that way would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import CTE, Select, exists, func, select, true, union
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
    Sign,
    Span,
    field_of,
)

MOST = 2000
"""Versions: more of them are not listed one by one, the search goes through the order and looks at each."""
LACKING = 6000
"""Only who would look at more versions than that counts how many lack a metric: there is no index of what is not. And
so far the rest is counted before.
"""
_CONDITIONS = 16
"""More are not counted."""
_OPPOSITE: dict[Sign, Sign] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

Asked = Compare | Among | Contains | Like | Exists | Not
Together = tuple[Asked, ...]
"""Conditions on one metric or param, or one field, which one entry of an index meets: ``> 0.5 AND < 0.6``."""


class Few(NamedTuple):
    """At most ``MOST`` versions, among which all that fit are: their places, by ``queries`` (without any: none fits).

    ``left`` is what they have still to be asked.
    """

    queries: list[Select[Any]]
    left: Expression

    def listed(self) -> CTE:
        """Their places, each once, as a table with the column ``place``."""
        parts = [select(query.subquery().c.place) for query in self.queries]
        found = parts[0] if len(parts) == 1 else union(*parts)
        # Materialized: the database is to begin there, and not to think of a better way.
        return found.cte("few").prefix_with("MATERIALIZED", dialect="postgresql")


def few(
    connection: Connection,
    repository: int,
    wanted: Expression,
    dialect: str,
    most: int | None = None,
    lacking: Sequence[Field] = (),
) -> Few | None:
    """Where a search for ``wanted`` may begin; None: more versions than ``most`` meet every single condition.

    What is looked for also has nothing in the fields ``lacking``; that has still to be asked.
    """
    most = MOST if most is None else most
    deep = most > LACKING
    opened = Every((_opened(wanted), *(Not(Exists(field)) for field in lacking))) if deep else wanted
    listed = {some: _places(repository, some, dialect) for some in _conditions(opened)}
    known = {some: query for some, query in listed.items() if query is not None}
    if not known or len(known) > _CONDITIONS:
        return None
    counts: dict[Together, int] = {}
    for bound, lacked in [(LACKING, False), (LACKING, True), (most, False)] if deep else [(most, False)]:
        some = {one: query for one, query in known.items() if (_lacked(one[0]) is not None) == lacked}
        counts |= _count(connection, repository, some, bound)
        found = _narrowest(opened, counts, bound)
        if found is not None:
            return _begin(wanted, found, known, counts)
    return None


def can_count(repository: int, wanted: Expression, dialect: str) -> bool:
    """Whether a search for ``wanted`` could begin anywhere but at its order."""
    return any(_places(repository, some, dialect) is not None for some in _conditions(_opened(wanted)))


def _begin(
    wanted: Expression,
    found: list[Together],
    known: dict[Together, Select[Any]],
    counts: dict[Together, int],
) -> Few:
    """To begin with ``found``."""
    met = found[0] if len(found) == 1 else ()
    left = [part for part in parts_of(wanted) if part not in met or isinstance(part, Not)]
    numbers: dict[Expression, int] = {part: count for some, count in counts.items() for part in some}
    left.sort(key=lambda part: numbers.get(part, max(numbers.values())))  # what few meet is asked first
    return Few([known[some].limit(counts[some]) for some in found if counts[some]], Every(tuple(left)))


def parts_of(wanted: Expression) -> Iterator[Expression]:
    """What all has to hold."""
    if isinstance(wanted, Every):
        for part in wanted.parts:
            yield from parts_of(part)
    else:
        yield wanted


def _opened(wanted: Expression) -> Expression:
    """The same with every NOT at a single condition, and NOT before a comparison of a metric told in two parts that
    can be counted: those on the other side, and those that lack it.
    """
    if isinstance(wanted, Every | Either):
        return msgspec.structs.replace(wanted, parts=tuple(_opened(part) for part in wanted.parts))
    if not isinstance(wanted, Not):
        return wanted
    inner = wanted.part
    found: Expression = wanted
    if isinstance(inner, Not):
        found = _opened(inner.part)
    elif isinstance(inner, Every):
        found = Either(tuple(_opened(Not(part)) for part in inner.parts))
    elif isinstance(inner, Either):
        found = Every(tuple(_opened(Not(part)) for part in inner.parts))
    elif isinstance(inner, Compare) and inner.field.kind == "metric" and inner.sign in _OPPOSITE:
        other = msgspec.structs.replace(inner, sign=_OPPOSITE[inner.sign])
        found = Either((other, Not(Exists(inner.field))))
    return found


def _count(
    connection: Connection, repository: int, known: dict[Together, Select[Any]], most: int
) -> dict[Together, int]:
    """How many entries there are for each, or ``most`` + 1: in one statement."""

    def number(query: Select[Any]) -> Any:
        return select(func.count()).select_from(query.subquery()).scalar_subquery()

    if not known:
        return {}
    numbers = []
    for some, query in known.items():
        metric = _lacked(some[0])
        if metric is None:
            numbers.append(number(query.limit(most + 1)))
        else:
            numbers.append(number(_of(FOUND, repository)) - number(_having(repository, metric)))
    row = connection.execute(select(*numbers)).one()
    return {some: max(0, count) for some, count in zip(known, row, strict=True)}


def _narrowest(wanted: Expression, counts: dict[Together, int], most: int) -> list[Together] | None:
    """The conditions to begin with, one of which everything that fits meets; None: too many versions do."""
    if isinstance(wanted, Either):
        every = [_narrowest(part, counts, most) for part in wanted.parts]
        if not every or any(part is None for part in every):
            return None
        joined = [some for part in every for some in part or ()]
        return joined if _sum(joined, counts) <= most else None
    ways = [[some] for some in _together(wanted) if counts.get(some, most + 1) <= most]
    if isinstance(wanted, Every):
        inner = [_narrowest(part, counts, most) for part in parts_of(wanted) if isinstance(part, Either)]
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
        elif not isinstance(part, Every | Either):
            alone.append((part,))
    return [*(tuple(some) for some in found.values()), *alone]


def _places(repository: int, some: Together, dialect: str) -> Select[Any] | None:
    """The places of the versions that meet them, read from an index alone; None: no index has them."""
    asked = some[0]
    if isinstance(asked, Not):
        metric = _lacked(asked)
        return None if metric is None else _lacking(repository, metric)
    field = asked.field
    found: Select[Any] | None = None
    if any(isinstance(part, Compare) and part.sign == "!=" for part in some):
        return None
    if field.kind in ("metric", "param"):
        found = _by_value(repository, field, some, dialect)
    elif field.kind == "words":
        test = true() if isinstance(asked, Exists) else _text(LABELS.c.name, asked, dialect)
        found = (
            None if test is None else _of(LABELS, repository, LABELS.c.kind == field.name, test).distinct()
        )
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


def _lacked(asked: Expression) -> Field | None:
    """The metric that a version must not have."""
    field = field_of(asked.part) if isinstance(asked, Not) and isinstance(asked.part, Exists) else None
    return field if field is not None and field.kind == "metric" else None


def _having(repository: int, metric: Field) -> Select[Any]:
    return _of(NUMBERS, repository, NUMBERS.c.name == value_name(metric), NUMBERS.c.value.is_not(None))


def _lacking(repository: int, metric: Field) -> Select[Any]:
    """Without the metric, or with one that is NaN."""
    having = _having(repository, metric).where(NUMBERS.c.place == FOUND.c.place).correlate(FOUND)
    return _of(FOUND, repository, ~exists(having))


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
