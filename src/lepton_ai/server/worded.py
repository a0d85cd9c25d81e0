"""Structs of the rooms below as they look in JSON: where a number may be NaN or infinite, a word may stand."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from lepton_ai.server.bodies import Told


@cache
def worded(kind: type[msgspec.Struct], name: str = "") -> Any:
    """A struct like ``kind``, in which every number may be a word instead ("NaN", "Infinity", "-Infinity")."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(kind):
        told = _worded(field.type)
        if field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, told, msgspec.field(default_factory=field.default_factory)))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, told, field.default))
        else:
            fields.append((field.name, told))
    made = msgspec.defstruct(name or kind.__name__, fields, frozen=True, kw_only=True)
    made.__doc__ = kind.__doc__
    return made


def answer(kind: Any) -> Any:
    """A struct that was made so, as the answer of a route."""
    return Told[kind]  # type: ignore[misc]  # made while running


def _worded(told: Any) -> Any:
    if told is float:
        return float | str
    if isinstance(told, type) and issubclass(told, msgspec.Struct):
        return worded(told)
    origin, inner = get_origin(told), get_args(told)
    if origin in (Union, types.UnionType):
        return Union[tuple(_worded(one) for one in inner)]  # noqa: UP007  (of a tuple made here)
    if origin is Annotated:
        return _worded(inner[0])
    if origin in (tuple, list, dict):
        return origin[tuple(one if one is Ellipsis else _worded(one) for one in inner)]
    return told
