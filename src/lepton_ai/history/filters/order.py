"""The order of versions: ``metrics.loss, created DESC``.

What a version does not have (or NaN) comes last in either direction. Of params, numbers come before texts. Versions
that are alike follow the direction of the last key: the newest first after ``DESC``, the oldest first else; without
any key the newest come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.filters.facts import Facts
from lepton_ai.history.filters.grammar import field_of
from lepton_ai.history.filters.judge import values
from lepton_ai.history.filters.nodes import Field
from lepton_ai.history.filters.tokens import refused, tokens

MOST_KEYS = 5


class Key(msgspec.Struct, frozen=True):
    """One key of an order."""

    field: Field
    descending: bool


class Order(msgspec.Struct, frozen=True):
    """An order; ``newest_first`` is how versions follow that are alike in all keys."""

    keys: tuple[Key, ...] = ()
    newest_first: bool = True


def parse(text: str) -> Order:
    """The order that ``text`` says; nothing but spaces: the newest first.

    Raises:
        UsageError: it cannot be read; says the column and what was expected there.
    """
    found = iter(tokens(text, "order"))
    token = next(found)
    if token.kind == "end":
        return Order()
    keys: list[Key] = []
    while True:
        field = field_of(token, "order")
        if field.kind == "words":
            raise refused(
                "order", token, "a field with one value (a version has any number of tags and aliases)"
            )
        if field.kind == "text" and field.name == "message":
            raise refused("order", token, "a field to sort by (messages are none)")
        if any(key.field == field for key in keys):
            raise refused("order", token, "a field that is not there yet")
        token = next(found)
        descending = token.text == "desc"
        if token.kind == "word" and token.text in ("asc", "desc"):
            token = next(found)
        keys.append(Key(field, descending))
        if token.kind == "end":
            return Order(tuple(keys), descending)
        if token.text != "," or token.kind != "sign":
            raise refused("order", token, "ASC, DESC, a comma or the end")
        if len(keys) == MOST_KEYS:
            raise UsageError(f"order, column {token.place}: {MOST_KEYS} keys are the limit")
        token = next(found)


def ordered(versions: Iterable[Facts], order: Order) -> list[Facts]:
    """The versions in this order."""
    result = sorted(versions, key=lambda version: version.place, reverse=order.newest_first)
    for key in reversed(order.keys):
        numbers, texts, none = [], [], []
        for version in result:
            value = next(iter(values(key.field, version)), None)
            if value is None or (isinstance(value, float) and math.isnan(value)):
                none.append(version)
            elif isinstance(value, str):
                texts.append((value, version))
            else:
                numbers.append((value, version))
        result = [*_by_value(numbers, key), *_by_value(texts, key), *none]
    return result


def _by_value(pairs: list[tuple[Any, Facts]], key: Key) -> list[Facts]:
    return [version for _, version in sorted(pairs, key=lambda pair: pair[0], reverse=key.descending)]
