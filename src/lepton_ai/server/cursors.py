"""Cursors of pages: opaque to callers, checked when they come back."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError

MOST = 1000
"""Things on a page, at most."""

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many things at most")]
"""A parameter of a route: the size of the page. Give it a default."""
Cursor = Annotated[
    str | None, Query(max_length=10_000, description="`next` of the page before; without it the first page")
]
"""A parameter of a route: where the page begins. Default None."""


def encode(place: object) -> str:
    """A cursor that stands for ``place``: numbers, texts, bytes or tuples of them."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def decode(cursor: str | None, kind: type[T]) -> T | None:
    """The place that ``cursor`` stands for; None for the beginning.

    Raises:
        UsageError: no page of this list told this cursor.
    """
    if cursor is None:
        return None
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.msgpack.decode(plain, type=ready(kind))
        _check_numbers(place)
    except (ValueError, binascii.Error, msgspec.DecodeError) as problem:
        raise UsageError("this cursor is not of this list", hint="begin again without a cursor") from problem
    return place


def _check_numbers(place: object) -> None:
    """Raise ValueError for a number that no database can compare with."""
    for part in place if isinstance(place, tuple) else (place,):
        if isinstance(part, int) and not abs(part) < 1 << 63:
            raise ValueError(part)
