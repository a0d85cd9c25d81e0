"""Questions about texts that every database answers alike. Texts are kept as their UTF-8 (see ``tables.types``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, and_, cast, func, literal, literal_column
from sqlalchemy.sql import ColumnElement

from lepton_ai.catalog.tables.types import Words
from lepton_ai.history.refs import rules

_ESCAPE = "|"


def contains(column: Any, folded: str, dialect: str) -> ColumnElement[bool]:
    """Whether the text is in the column: a search for bytes, which is one for letters in UTF-8."""
    wanted = literal(folded, Words())
    if dialect == "postgresql":
        return func.pg_catalog.position(column, wanted) > 0
    return func.instr(column, wanted) > 0


def like(column: Any, pattern: str, dialect: str) -> ColumnElement[bool]:
    """Whether the column fits a pattern with ``%`` and ``_``; the case of letters counts."""
    fits = _fits(column, pattern, dialect)
    prefix = prefix_of(pattern)
    end = rules.above(prefix) if prefix else None
    if end is None:
        return fits
    # Says nothing new, but is a range that an index can find.
    return and_(column >= literal(prefix, Words()), column < literal(end, Words()), fits)


def prefix_of(pattern: str) -> str:
    """What everything that fits the pattern begins with."""
    return pattern[: min(pattern.find(joker) % (len(pattern) + 1) for joker in "%_")]


def _fits(column: Any, pattern: str, dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":  # whose LIKE does not see the case of letters
        letters = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
        glob = "".join(letters.get(letter, letter) for letter in pattern)
        found: ColumnElement[bool] = cast(column, Text).op("GLOB", is_comparison=True)(literal(glob, Text()))
        return found
    escaped = pattern.replace(_ESCAPE, _ESCAPE * 2)
    if dialect == "postgresql":
        text: Any = func.convert_from(column, literal_column("'UTF8'"), type_=Text())
        return text.collate("C").like(escaped, escape=_ESCAPE)  # type: ignore[no-any-return]
    text = func.convert(column.op("USING")(literal_column("utf8mb4")), type_=Text())
    return text.collate("utf8mb4_bin").like(escaped, escape=_ESCAPE)  # type: ignore[no-any-return]
