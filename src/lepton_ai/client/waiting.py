"""How long to wait: for a connection, for the next byte of an answer, and before a request is sent again."""

from __future__ import annotations

import random
from collections.abc import Mapping

CONNECT, READ = 10.0, 60.0
"""Seconds for a connection; and for a portion of a request to go out, or the next bytes of an answer to come."""
WORK = 630.0
"""The same where it may look through a whole repository before it answers; after ten minutes it gives up by itself."""
PROBED, PROBES = 20, 4
"""Seconds of silence after which the system asks whether the other machine is there at all, and how often it asks: one
that is gone is noticed long before ``WORK`` is over."""
ATTEMPTS = 7
"""Tries of a request that may be repeated."""
SILENT = 2
"""Tries after which a server that says nothing is left alone."""
FIRST, LONGEST = 0.2, 15.0
"""Seconds before the second try, and at most before any."""
HURRIED, SOON = 2, 5.0
"""Tries where a person waits, and seconds before the second at most."""
LATER = frozenset({429, 503})
"""Answers of a server that has not begun: come again."""
BROKEN = frozenset({502, 504})
"""Answers of who stands before a server that does not answer."""


def enough(tries: int, *, silent: bool) -> bool:
    """Whether so many tries in vain are enough; ``silent``: at the last one nothing came within the time."""
    return tries >= (min(SILENT, ATTEMPTS) if silent else ATTEMPTS)


def pause(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds to wait after the try number ``attempt`` (from 0): what the server asks for, else longer each time."""
    spread = random.uniform(0.5, 1.0)  # noqa: S311  (spreads retries, keeps no secret)
    if headers is not None and "Retry-After" in headers:
        return min(asked(headers), LONGEST) + 0.1 * spread
    return min(FIRST * 2.0**attempt, LONGEST) * spread


def asked(headers: Mapping[str, str]) -> float:
    """The seconds that a server asks to be left alone; 0 when it does not say."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() and text.isascii() else 0.0
