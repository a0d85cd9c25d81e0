"""Read a filter: ``metrics.accuracy > 0.9 AND (author = 'ada' OR tag IN ('rc', 'gold'))``.

    either     = every { OR every }
    every      = one { AND one }
    one        = NOT one | "(" either ")" | EXISTS field | condition
    condition  = field ( sign value | [NOT] IN "(" value { "," value } ")" | [NOT] LIKE text | "~" text
                       | IS [NOT] NULL )
    sign       = "=" | "!=" | "<" | "<=" | ">" | ">="
    value      = text | number | time | TRUE | FALSE | NOW "(" ")" [ ("+" | "-") span ]
    field      = name | branch | author | message | status | id | content | tag | alias | created | updated
               | revision | size | metrics.NAME | params.NAME

Words in capitals may be written in any case.
"""

from __future__ import annotations

import math
import time

from lepton_ai.errors import UsageError
from lepton_ai.history.filters import moments
from lepton_ai.history.filters.nodes import (
    EVERYTHING,
    FIELDS,
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
    Value,
)
from lepton_ai.history.filters.tokens import HINTS, Token, refused, tokens

DEEPEST = 32
"""Parentheses and NOTs inside one another."""
MOST = 200
"""Values and conditions in one filter."""
MOST_JOKERS = 10
STATUSES = ("Active", "Deleted", "Purged")
_SIGNS: dict[str, Sign] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_GROUPS = {"metrics": "metric", "params": "param"}
_ALTERNATIVES = {"and", "or", "not", "in", "like", "is", "null", "exists", "true", "false", "now"}


def parse(text: str, *, now: int | None = None) -> Expression:
    """The filter that ``text`` says; nothing but spaces is the filter that lets everything through.

    ``now`` (microseconds since 1970) is what ``now()`` means; without it, the present.

    Raises:
        UsageError: it cannot be read; says the column and what was expected there.
    """
    reader = _Reader(tokens(text, "filter"), time.time_ns() // 1000 if now is None else now)
    return reader.whole()


def field_of(token: Token, what: str) -> Field:
    """The field that a token names.

    Raises:
        UsageError: there is no such field.
    """
    if token.kind == "word" and token.text in _GROUPS and token.member is not None:
        return Field("metric" if token.text == "metrics" else "param", token.member)
    if token.kind == "word" and token.text in FIELDS:
        return Field(FIELDS[token.text], token.text)
    raise refused(what, token, f"a field ({', '.join(FIELDS)}, metrics.NAME, params.NAME)")


class _Reader:
    """Goes through the tokens once; every method reads what its line of the grammar says."""

    def __init__(self, found: list[Token], now: int) -> None:
        self._tokens = iter(found)
        self.token = next(self._tokens)
        self._now = now
        self._count = 0

    def whole(self) -> Expression:
        if self._at_end():
            return EVERYTHING
        expression = self._either(0)
        if not self._at_end():
            raise refused("filter", self.token, "AND, OR or the end")
        return expression

    def _at_end(self) -> bool:
        return self.token.kind == "end"

    def _either(self, depth: int) -> Expression:
        parts = [self._every(depth)]
        while self._takes("or"):
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _every(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self._takes("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise UsageError(
                f"filter, column {self.token.place}: more than {DEEPEST} parentheses and NOTs inside one another",
                hint="write it flatter",
            )
        if self._takes("not"):
            return Not(self._one(depth + 1))
        if self._takes("("):
            inner = self._either(depth + 1)
            self._expect(")")
            return inner
        if self._takes("exists"):
            return Exists(self._field())
        return self._condition(self._field())

    def _field(self) -> Field:
        self._counted()
        found = field_of(self.token, "filter")
        self._next()
        return found

    def _condition(self, field: Field) -> Expression:
        if self.token.kind == "sign" and self.token.text in _SIGNS:
            sign = _SIGNS[self._next().text]
            place = self.token
            value = self._value(field)
            if sign not in ("=", "!=") and isinstance(value, str):
                raise refused(
                    "filter", place, f"a number after {sign} (texts are compared by =, !=, IN, LIKE and ~)"
                )
            return Compare(field, sign, value)
        if self._takes("~"):
            return Contains(field, self._pattern(field))
        if self._takes("is"):
            negated = self._takes("not")
            self._expect("null")
            return Exists(field) if negated else Not(Exists(field))
        negated = self._takes("not")
        if self._takes("in"):
            among = Among(field, self._values(field))
            return self._all_of(field, Not(among)) if negated else among
        if self._takes("like"):
            like = Like(field, self._pattern(field, jokers=True))
            return self._all_of(field, Not(like)) if negated else like
        raise refused(
            "filter", self.token, "IN or LIKE" if negated else "=, !=, <, <=, >, >=, ~, IN, LIKE or IS"
        )

    @staticmethod
    def _all_of(field: Field, condition: Expression) -> Expression:
        """``x NOT IN (…)`` is about something that is there, as ``x != …`` is; of words, there are always some."""
        return condition if field.kind == "words" else Every((Exists(field), condition))

    def _values(self, field: Field) -> tuple[Value, ...]:
        self._expect("(")
        values = [self._value(field)]
        while self._takes(","):
            self._counted()
            values.append(self._value(field))
        self._expect(")")
        return tuple(values)

    def _value(self, field: Field) -> Value:
        if field.kind == "time":
            return self._moment()
        if field.kind in ("number", "metric"):
            return self._number(f"a number to compare {field} with")
        if field.kind == "param":
            if self.token.text in ("true", "false") and self.token.kind == "word":
                return self._next().text
            if self.token.kind != "text":
                return self._number(f"a number or a text in quotes to compare {field} with")
        place = self.token
        found = self._text(f"a text in quotes to compare {field} with")
        return _status(place, found) if field.name == "status" and field.kind == "text" else found

    def _number(self, expected: str) -> float:
        if self.token.kind != "number":
            raise refused("filter", self.token, expected)
        if not math.isfinite(float(self.token.text)):
            raise refused("filter", self.token, "a number up to 1.7e308")
        return float(self._next().text)

    def _text(self, expected: str) -> str:
        if self.token.kind != "text":
            raise refused("filter", self.token, expected)
        return self._next().text

    def _pattern(self, field: Field, *, jokers: bool = False) -> str:
        place = self.token
        if field.kind in ("time", "number", "metric"):
            raise refused("filter", place, f"a comparison by =, !=, <, <=, > or >= ({field} is no text)")
        found = self._text("a text in quotes")
        if not found:
            raise refused("filter", place, "a text that is not empty")
        if jokers and found.count("%") > MOST_JOKERS:
            raise refused("filter", place, f"a pattern with at most {MOST_JOKERS} %")
        return found

    def _moment(self) -> Span:
        place = self.token
        if self._takes("now"):
            self._expect("(")
            self._expect(")")
            return self._shifted()
        found = moments.read(place.text) if place.kind in ("text", "time") else None
        if found is None:
            raise refused("filter", place, "a time (2026-11-20, 2026-11-20T10:30, now() - 7d)")
        self._next()
        return found

    def _shifted(self) -> Span:
        direction = {"-": -1, "+": 1}.get(self.token.text, 0) if self.token.kind == "sign" else 0
        if not direction:
            return moments.point(self._now)
        self._next()
        length = moments.length(self.token.text) if self.token.kind == "time" else None
        if length is None:
            raise refused("filter", self.token, "a span (30m, 12h, 7d, 2w)")
        self._next()
        return moments.point(self._now + direction * length)

    def _counted(self) -> None:
        self._count += 1
        if self._count > MOST:
            raise UsageError(
                f"filter, column {self.token.place}: more than {MOST} conditions and values",
                hint="ask in parts",
            )

    def _next(self) -> Token:
        token = self.token
        self.token = next(self._tokens, token)
        return token

    def _takes(self, text: str) -> bool:
        """Go over ``text`` if it is next."""
        if self.token.kind in ("word", "sign") and self.token.text == text and self.token.member is None:
            self._next()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise refused("filter", self.token, text.upper() if text in _ALTERNATIVES else repr(text))


def _status(place: Token, given: str) -> str:
    for status in STATUSES:
        if given.casefold() == status.casefold():
            return status
    raise UsageError(
        f"filter, column {place.place}: a status is one of {', '.join(STATUSES)}, not {given!r}",
        hint=HINTS["filter"],
    )
