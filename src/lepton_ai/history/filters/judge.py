"""Judge a version by a filter, in Python: for repositories without a database of the catalog."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from lepton_ai.history.filters.facts import Facts
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
)

Present = str | int | float
_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def fits(expression: Expression, version: Facts) -> bool:
    """Whether the filter lets the version through."""
    if isinstance(expression, Every):
        return all(fits(part, version) for part in expression.parts)
    if isinstance(expression, Either):
        return any(fits(part, version) for part in expression.parts)
    if isinstance(expression, Not):
        return not fits(expression.part, version)
    return _meets(expression, values(expression.field, version))


def _meets(expression: Compare | Among | Contains | Like | Exists, present: tuple[Present, ...]) -> bool:
    if isinstance(expression, Exists):
        return bool(present)
    if isinstance(expression, Compare):
        return _compared(expression, present)
    if isinstance(expression, Among):
        return any(_holds(value, "=", wanted) for value in present for wanted in expression.values)
    texts = [value for value in present if isinstance(value, str)]
    if isinstance(expression, Contains):
        return any(expression.text.casefold() in text.casefold() for text in texts)
    return any(like(text, expression.pattern) for text in texts)


def values(field: Field, version: Facts) -> tuple[Present, ...]:
    """What the version has there: nothing, one value, or (tags, aliases) several."""
    if field.kind == "metric":
        return (version.metrics[field.name],) if field.name in version.metrics else ()
    if field.kind == "param":
        return (version.params[field.name],) if field.name in version.params else ()
    found = getattr(version, field.name)
    return tuple(found) if field.kind == "words" else (found,)


def like(text: str, pattern: str) -> bool:
    """Whether the text fits a pattern in which ``%`` stands for any letters and ``_`` for one.

    Takes time in proportion to the text for each part of the pattern, whatever the pattern.
    """
    first, *others = pattern.split("%")
    if not others:
        return len(text) == len(first) and _at(text, 0, first)
    *middle, last = others
    if (
        len(text) < len(first) + len(last)
        or not _at(text, 0, first)
        or not _at(text, len(text) - len(last), last)
    ):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        while place + len(part) <= end and not _at(text, place, part):
            place += 1
        place += len(part)
        if place > end:
            return False
    return True


def _at(text: str, place: int, part: str) -> bool:
    return all(wanted in ("_", there) for there, wanted in zip(text[place:], part, strict=False))


def _compared(condition: Compare, present: tuple[Present, ...]) -> bool:
    if condition.field.kind == "words" and condition.sign == "!=":
        return condition.value not in present
    return any(_holds(value, condition.sign, condition.value) for value in present)


def _holds(there: Present, sign: str, wanted: Value) -> bool:
    if isinstance(wanted, Span):
        return isinstance(there, int) and _in_time(there, sign, wanted)
    if isinstance(wanted, str) or isinstance(there, str):
        same = isinstance(there, str) and isinstance(wanted, str) and there == wanted
        return same if sign == "=" else (sign == "!=" and not same)
    return not math.isnan(there) and _NUMBERS[sign](there, wanted)


def _in_time(there: int, sign: str, span: Span) -> bool:
    within = span.start <= there < span.end
    answers = {
        "=": within, "!=": not within, "<": there < span.start, "<=": there < span.end, ">": there >= span.end,
        ">=": there >= span.start,
    }  # fmt: skip
    return answers[sign]
