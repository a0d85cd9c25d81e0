"""Times in a filter: dates, moments and spans as written → microseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lepton_ai.history.filters.nodes import Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d{1,9})([smhdw])", re.IGNORECASE)
_WRITTEN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.(?P<fraction>[0-9]{1,6}))?)?)(?:Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.IGNORECASE,
)
_LARGEST = 1 << 62


def read(text: str) -> Span | None:
    """The time that ``2026-11-20``, ``2026-11-20T10:30`` … means (UTC where no zone is given); None when it is none."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:  # a thirteenth month
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    start = (moment - _EPOCH) // timedelta(microseconds=1)
    return Span(start, start + _width(written))


def length(text: str) -> int | None:
    """The microseconds of a span (``7d``); None when it is none."""
    match = _SPAN.fullmatch(text)
    return int(match[1]) * _UNITS[match[2].lower()] * 1_000_000 if match else None


def point(microseconds: int) -> Span:
    """One moment."""
    bounded = max(-_LARGEST, min(microseconds, _LARGEST))
    return Span(bounded, bounded + 1)


def _width(written: re.Match[str]) -> int:
    """How long what is written lasts: a day, a minute, a second or less."""
    clock, fraction = written["clock"], written["fraction"]
    if clock is None:
        return 86_400_000_000
    if len(clock) <= 5:
        return 60_000_000
    return int(10 ** (6 - len(fraction or "")))
