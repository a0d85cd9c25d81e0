"""From a filter to a condition in SQL that says the same as :func:`lepton_ai.history.filters.judge.fits`.

Values are bound, never written into the statement. A condition is true or false, never NULL: the columns of
``search_versions`` have no NULL, and whatever is elsewhere is a question of its own, false where there is nothing.
Never EXISTS or IN: of these a database makes joins, and begins with what it wrongly takes for little. A question of its
own is asked of one version after the other, in the order in which they come.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Double, and_, false, func, literal, not_, or_, select, true
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog.search_texts import contains, like
from lepton_ai.catalog.tables.search import FOUND, LABELS, LINES, NUMBERS, WORDS
from lepton_ai.history.filters import judge
from lepton_ai.history.filters.grammar import STATUSES
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
    Value,
    fields,
)

Condition = ColumnElement[bool]
Test = Callable[[Any, Any], Condition]
"""What is asked of a text: given its column, and the one of the same text whatever the case of letters."""

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
"""How two things are compared."""
_FOLDED = ("name", "author", "message")


class Conditions(msgspec.Struct, frozen=True):
    """Conditions on rows of ``search_versions`` of one repository, as ``dialect`` writes them.

    ``place`` is the column that has their places: what can be said by it alone is, before the row is read. ``found``
    are the columns of the rows.
    """

    repository: int
    dialect: str
    place: Any = FOUND.c.place
    found: Any = FOUND.c

    def of(self, expression: Expression) -> Condition:
        """The condition that a filter is."""
        if isinstance(expression, Every):
            return and_(true(), *(self.of(part) for part in expression.parts))
        if isinstance(expression, Either):
            return or_(false(), *(self.of(part) for part in expression.parts))
        if isinstance(expression, Not):
            return not_(self.of(expression.part))
        return self._one(expression)

    def _one(self, asked: Compare | Among | Contains | Like | Exists) -> Condition:
        field = asked.field
        if isinstance(asked, Exists):
            return self._exists(field)
        if isinstance(asked, Contains):
            return self._text(field, lambda _, folded: contains(folded, asked.text.casefold(), self.dialect))
        if isinstance(asked, Like):
            return self._text(field, lambda plain, _: like(plain, asked.pattern, self.dialect))
        if isinstance(asked, Among):
            return self._among(field, asked.values)
        if asked.sign == "!=" and (field.kind == "words" or field.name in ("branch", "status")):
            return not_(self._among(field, (asked.value,)))
        return self._compared(field, asked.sign, asked.value)

    def _exists(self, field: Field) -> Condition:
        if field.kind == "metric":
            return self.number(field, true())
        if field.kind == "param":
            return or_(self.number(field, true()), self.word(field, true()))
        return self._label(field, true()) if field.kind == "words" else true()

    def _compared(self, field: Field, sign: str, value: Value) -> Condition:
        if isinstance(value, Span):
            return in_time(self.found[field.name], sign, value)
        if isinstance(value, str):
            if sign == "=":
                return self._among(field, (value,))
            different = self._text(field, lambda plain, _: plain != value)
            return or_(different, self.number(field, true())) if field.kind == "param" else different
        compared = SIGNS[sign]
        if field.kind == "number":
            found: Condition = compared(self.found[field.name], literal(value, Double()))
            return found
        number = self.number(field, compared(NUMBERS.c.value, value))
        return or_(number, self.word(field, true())) if field.kind == "param" and sign == "!=" else number

    def _among(self, field: Field, values: tuple[Value, ...]) -> Condition:
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if isinstance(value, int | float)]
        found: list[Condition] = [
            in_time(self.found[field.name], "=", value) for value in values if isinstance(value, Span)
        ]
        if texts:
            found.append(self._text(field, lambda plain, _: plain.in_(texts)))
        if numbers and field.kind == "number":
            found.append(self.found[field.name].in_([literal(number, Double()) for number in numbers]))
        elif numbers:
            found.append(self.number(field, NUMBERS.c.value.in_(numbers)))
        return or_(false(), *found)

    def _text(self, field: Field, test: Test) -> Condition:
        """Whether a text of the field passes."""
        if field.kind == "words":
            return self._label(field, test(LABELS.c.name, LABELS.c.folded))
        if field.kind == "param":
            return self.word(field, test(WORDS.c.value, WORDS.c.folded))
        if field.name == "branch":
            return self._asked(LINES, test(LINES.c.name, LINES.c.folded), LINES.c.line == self.found.line)
        column = self.found[field.name]
        return test(column, self.found[f"{field.name}_folded"] if field.name in _FOLDED else column)

    def number(self, field: Field, test: Condition) -> Condition:
        """Whether the version has a metric or param of this name that is a number and passes."""
        return self._value(NUMBERS, field, test)

    def word(self, field: Field, test: Condition) -> Condition:
        """Whether the version has a param of this name that is a text and passes."""
        return self._value(WORDS, field, test)

    def lacks(self, field: Field) -> Condition:
        """Whether the version has nothing there that one could sort by."""
        if field.name == "branch":
            return not_(self._asked(LINES, true(), LINES.c.line == self.found.line))
        number = self.number(field, NUMBERS.c.value.is_not(None))
        return not_(or_(number, self.word(field, true())) if field.kind == "param" else number)

    def _value(self, table: Any, field: Field, test: Condition) -> Condition:
        return self._asked(table, test, table.c.name == value_name(field), table.c.place == self.place)

    def _label(self, field: Field, test: Condition) -> Condition:
        mine = (LABELS.c.kind == field.name, LABELS.c.place == self.place)
        return self._asked(LABELS, true(), *mine, test, several=True)

    def _asked(self, table: Any, test: Condition, *which: Condition, several: bool = False) -> Condition:
        """Whether the row of ``table`` passes; false when there is none."""
        query = select(test).where(table.c.repository == self.repository, *which)
        query = (query.limit(1) if several else query).correlate_except(table)
        found: Condition = func.coalesce(query.scalar_subquery(), false())
        return found


def columns_of(wanted: Expression) -> set[str]:
    """The columns of ``search_versions`` that conditions look at."""
    found = {"status"}
    for field in fields(wanted):
        if field.kind in ("text", "time", "number"):
            found |= {"line"} if field.name == "branch" else {field.name}
            found |= {f"{field.name}_folded"} if field.name in _FOLDED else set()
    return found


def value_name(field: Field) -> str:
    """How a metric or param is called in the tables of values."""
    return ("m" if field.kind == "metric" else "p") + field.name


def plain(asked: Expression) -> Expression:
    """The same filter, with what is asked of a status decided here: there are three, and their letters have a case."""
    if isinstance(asked, Every | Either):
        return msgspec.structs.replace(asked, parts=tuple(plain(part) for part in asked.parts))
    if isinstance(asked, Not):
        return Not(plain(asked.part))
    if isinstance(asked, Contains | Like) and asked.field.name == "status" and asked.field.kind == "text":
        return Among(asked.field, tuple(status for status in STATUSES if _passes(asked, status)))
    return asked


def _passes(asked: Contains | Like, status: str) -> bool:
    if isinstance(asked, Like):
        return judge.like(status, asked.pattern)
    return asked.text.casefold() in status.casefold()


def in_time(column: Any, sign: str, span: Span) -> Condition:
    """How the time in ``column`` is compared with a time as written."""
    conditions: dict[str, Condition] = {
        "=": and_(column >= span.start, column < span.end),
        "!=": or_(column < span.start, column >= span.end),
        "<": column < span.start,
        "<=": column < span.end,
        ">": column >= span.end,
        ">=": column >= span.start,
    }
    return conditions[sign]
