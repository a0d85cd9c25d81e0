"""How long to wait before a request is sent again."""

from __future__ import annotations

import random
from collections.abc import Mapping

ATTEMPTS = 7
"""Tries of a request that may be repeated."""
FIRST, LONGEST = 0.2, 15.0
"""Seconds before the second try, and at most before any."""
LATER = frozenset({429, 503})
"""Answers of a server that has not begun: come again."""
BROKEN = frozenset({502, 504})
"""Answers of who stands before a server that does not answer."""


def pause(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Seconds to wait after the try number ``attempt`` (from 0): what the server asks for, else longer each time."""
    asked = (headers or {}).get("Retry-After", "")
    spread = random.uniform(0.5, 1.0)  # noqa: S311  (spreads retries, keeps no secret)
    if asked.isdigit():
        return min(float(asked), LONGEST) + 0.1 * spread
    return min(FIRST * 2.0**attempt, LONGEST) * spread
