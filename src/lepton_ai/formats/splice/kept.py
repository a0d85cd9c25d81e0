"""What was made last, kept because whoever reads a Source in pieces comes back for the next one.

One thing altogether, however many Sources there are: a file may have tens of thousands of them.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary


class Kept:
    """Keeps one thing, until another is made or its owner is gone."""

    def __init__(self) -> None:
        self._things: WeakKeyDictionary[object, tuple[object, Any]] = WeakKeyDictionary()

    def get(self, owner: object, key: object) -> Any:
        """What ``owner`` kept under ``key``; None when that is not here any more."""
        found = self._things.get(owner)
        return found[1] if found is not None and found[0] == key else None

    def put(self, owner: object, key: object, thing: Any) -> None:
        """Keep it, and nothing else."""
        self._things.clear()
        self._things[owner] = key, thing


LAST = Kept()
