"""One node or layer of a model, and how much may be told of all of them."""

from __future__ import annotations

import msgspec

from lepton_ai.formats.contract import Malformed

MOST_PARTS = 200_000
LONGEST_VALUE = 2000
"""Letters of an attribute that are compared and shown."""
LONGEST_NAME = 10_000
"""Letters of a name, with those of all that it lies in."""
MOST_LETTERS = 16 << 20
"""Letters of all parts together: what lies deep in a file is told with all names above it, each time."""


class Part(msgspec.Struct, frozen=True):
    """A node or layer: its name, its kind ("Conv", "Dense") and its attributes as text."""

    name: str
    kind: str
    attributes: dict[str, str]


class Parts:
    """Those that are found in one file."""

    def __init__(self) -> None:
        self.found: list[Part] = []
        self._left = MOST_LETTERS

    def room(self, *texts: str) -> None:
        """Count letters that are going to be told.

        Raises:
            Malformed: there are too many, in all or in one of them.
        """
        self._left -= sum(map(len, texts))
        if self._left < 0 or any(len(text) > LONGEST_NAME for text in texts):
            raise Malformed("there is too much to tell of its architecture")

    def put(self, name: str, kind: str, attributes: dict[str, str], place: int | None = None) -> None:
        """Add one at the end, or before the one with the number ``place``.

        Raises:
            Malformed: there are too many, or there is too much to tell of them.
        """
        if len(self.found) >= MOST_PARTS:
            raise Malformed(f"more than {MOST_PARTS} nodes or layers")
        self.room(name, kind)
        told = {_shown(key): _shown(value[:LONGEST_VALUE]) for key, value in attributes.items()}
        self._left -= sum(map(len, told.values()))
        part = Part(_shown(name), _shown(kind), told)
        self.found.insert(len(self.found) if place is None else place, part)


def _shown(text: str) -> str:
    """Without halves of characters, which JSON may hold and nothing can write."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
