"""One node or layer of a model."""

from __future__ import annotations

import msgspec

MOST_PARTS = 200_000
LONGEST_VALUE = 2000
"""Letters of an attribute that are compared and shown."""


class Part(msgspec.Struct, frozen=True):
    """A node or layer: its name, its kind ("Conv", "Dense") and its attributes as text."""

    name: str
    kind: str
    attributes: dict[str, str]
