"""A filter as read: frozen nodes, the same for whoever judges them in Python or in SQL.

Every condition is true or false, never unknown: one on something that a version does not have (or that is NaN) is
false, also with ``!=``; ``NOT`` turns it round. Of tags and aliases a version has any number: ``tag = 'x'`` says that
one of them is x, ``tag != 'x'`` that none is.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["text", "words", "time", "number", "metric", "param"]
"""``text``: one text; ``words``: any number of them (tags, aliases); ``param``: a number or a text."""

Sign = Literal["=", "!=", "<", "<=", ">", ">="]

FIELDS: dict[str, Kind] = {
    "name": "text",
    "branch": "text",
    "author": "text",
    "message": "text",
    "status": "text",
    "id": "text",
    "content": "text",
    "tag": "words",
    "alias": "words",
    "created": "time",
    "updated": "time",
    "revision": "number",
    "size": "number",
}
"""What can be asked about, beside ``metrics.NAME`` and ``params.NAME``."""


class Field(msgspec.Struct, frozen=True):
    """What a condition looks at: one of ``FIELDS``, or the metric or param called ``name``."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}s.{self.name}" if self.kind in ("metric", "param") else self.name


class Span(msgspec.Struct, frozen=True):
    """A time as written: from ``start`` to before ``end``, in microseconds since 1970 (UTC). A date is a whole day."""

    start: int
    end: int


Value = str | float | Span


class Compare(msgspec.Struct, frozen=True):
    """``metrics.accuracy > 0.9``. Times: ``=`` within the span, ``<`` before it, ``>`` after it."""

    field: Field
    sign: Sign
    value: Value


class Among(msgspec.Struct, frozen=True):
    """``author IN ('ada', 'bo')``."""

    field: Field
    values: tuple[Value, ...]


class Contains(msgspec.Struct, frozen=True):
    """``message ~ 'retrained'``: the text is in it, whatever the case of its letters."""

    field: Field
    text: str


class Like(msgspec.Struct, frozen=True):
    """``name LIKE 'v1%'``: ``%`` stands for any letters, ``_`` for one; the case of letters counts."""

    field: Field
    pattern: str


class Exists(msgspec.Struct, frozen=True):
    """``EXISTS metrics.loss``; ``IS NULL`` is its negation."""

    field: Field


class Not(msgspec.Struct, frozen=True):
    """The opposite."""

    part: Expression


class Every(msgspec.Struct, frozen=True):
    """AND: all of them."""

    parts: tuple[Expression, ...]


class Either(msgspec.Struct, frozen=True):
    """OR: one of them at least."""

    parts: tuple[Expression, ...]


Expression = Compare | Among | Contains | Like | Exists | Not | Every | Either

EVERYTHING = Every(())
"""The empty filter."""


def fields(expression: Expression) -> set[Field]:
    """What a filter looks at."""
    if isinstance(expression, Not):
        return fields(expression.part)
    if isinstance(expression, Every | Either):
        return {found for part in expression.parts for found in fields(part)}
    return {expression.field}


def field_of(expression: Expression) -> Field | None:
    """What a single condition looks at; None for NOT, AND and OR."""
    return None if isinstance(expression, Not | Every | Either) else expression.field
