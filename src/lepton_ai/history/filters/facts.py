"""What of a version filters and orders look at: cut to what any database can keep and compare in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from lepton_ai.history import states
from lepton_ai.history.listing import status_of
from lepton_ai.history.record import content_id, metric_values
from lepton_ai.types import Record, Status

LONGEST_MESSAGE = 1000
LONGEST_TEXT = 300
"""Letters of a name, an author, or a text among the params that are looked at."""
MOST_VALUES = 1000
"""Metrics, and params, of one version that are looked at, in the order of their names."""
_LARGEST = 1.7976931348623157e308


class Facts(msgspec.Struct, frozen=True):
    """A version for filters. Times in microseconds since 1970 (UTC), ``size`` in bytes.

    ``place`` grows in the order in which versions came into the repository. ``branch`` is the one that it was made on.
    NaN among the metrics is a value that compares with nothing; infinities are the largest numbers there are.
    """

    place: int
    name: str
    branch: str
    author: str
    message: str
    status: Status
    id: str
    content: str
    created: int
    updated: int
    revision: int
    size: int
    metrics: dict[str, float]
    params: dict[str, float | str]
    tag: tuple[str, ...] = ()
    alias: tuple[str, ...] = ()


def facts(
    place: int,
    branch: str,
    created: int,
    state: states.VersionState,
    record: Record,
    tags: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
) -> Facts:
    """What filters see of the version whose newest revision's record is ``record``."""
    return Facts(
        place=place,
        name=record.name,
        branch=branch,
        author=plain(record.author, LONGEST_TEXT),
        message=plain(record.message, LONGEST_MESSAGE),
        status=status_of(state),
        id=state.newest,
        content=content_id(record.files),
        created=created,
        updated=state.updated_at,
        revision=state.revisions,
        size=sum(entry.size for entry in record.files),
        metrics=metrics_of(record),
        params=params_of(record),
        tag=tags,
        alias=aliases,
    )


def plain(text: str, longest: int) -> str:
    """A text as it is looked at: its beginning, without NUL (which PostgreSQL cannot keep)."""
    return text[:longest].replace("\0", "\ufffd")


def metrics_of(record: Record) -> dict[str, float]:
    """The metrics that are looked at."""
    values = {
        plain(name, LONGEST_TEXT): number(value) for name, value in metric_values(record.metrics).items()
    }
    return {name: values[name] for name in islice(sorted(values), MOST_VALUES)}


def params_of(record: Record) -> dict[str, float | str]:
    """The params that are looked at: those inside others as ``outer.inner``, lists as JSON, true and false as words."""
    values: dict[str, float | str] = {}
    for name, value in _flat("", record.params):
        values.setdefault(plain(name, LONGEST_TEXT), value)
    return {name: values[name] for name in islice(sorted(values), MOST_VALUES)}


def number(value: float) -> float:
    """A number that every database has: infinities become the largest ones."""
    return value if math.isnan(value) else max(-_LARGEST, min(float(value), _LARGEST))


def _flat(prefix: str, params: dict[str, Any]) -> Iterator[tuple[str, float | str]]:
    """Names with values; own names come before those of what is inside."""
    inner: list[tuple[str, dict[str, Any]]] = []
    for key in sorted(params):
        value = params[key]
        if isinstance(value, dict):
            inner.append((f"{prefix}{key}.", value))
        elif value is not None:
            yield prefix + key, _param(value)
    for outer, values in inner:
        yield from _flat(outer, values)


def _param(value: Any) -> float | str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return plain(value, LONGEST_TEXT)
    return plain(msgspec.json.encode(value).decode(), LONGEST_TEXT)
