"""Which layer a tensor belongs to, told by its name: the first part that is a number.

``model.layers.12.mlp.up_proj.weight`` is of layer 12 of the stack ``model.layers``; ``lm_head.weight`` is of none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_NUMBERED = re.compile(r"^(.*?)[./](\d{1,6})[./]")
_BEFORE = ("embed", "wte", "wpe", "word_", "position", "token")
"""Names with one of these in them belong to the tensors before the layers."""


class Layers(msgspec.Struct, frozen=True):
    """The stacks of layers of a model: how many each has, by what stands before the number."""

    counts: dict[str, int]

    def place(self, name: str) -> tuple[str, int] | None:
        """The stack and the number of the layer that a tensor belongs to; None for those of no layer."""
        found = _NUMBERED.match(name)
        return (found[1], int(found[2])) if found and found[1] in self.counts else None

    def depth(self, name: str) -> float:
        """From 0 for the first layer to 1 for the last; an only layer has 1, what is in no layer 0."""
        place = self.place(name)
        return 0.0 if place is None else depth(place[1], self.counts[place[0]])


def depth(number: int, count: int) -> float:
    """How deep layer ``number`` of ``count`` lies."""
    return number / (count - 1) if count > 1 else 1.0


def layers(names: Iterable[str]) -> Layers:
    """The stacks that tensors of these names make up."""
    counts: dict[str, int] = {}
    for name in names:
        if found := _NUMBERED.match(name):
            counts[found[1]] = max(counts.get(found[1], 0), int(found[2]) + 1)
    return Layers(counts)


def before_the_layers(name: str) -> bool:
    """Whether a tensor of no layer stands before them (embeddings) and not behind (norms, heads)."""
    return any(part in name for part in _BEFORE)
