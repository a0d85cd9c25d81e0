"""The same part of several tensors at once: blocks that are differences to each other are decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.history.elements import Elements
from lepton_ai.history.held import Stored

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MOST = 4
"""Blocks of a tensor that are held at a time; a longer part is read as parts are."""


def parts(sides: Sequence[Elements], start: int, stop: int) -> list[Array]:
    """Elements ``start`` … ``stop`` of each tensor, as :meth:`Elements.part` gives them.

    The newest version first costs least: older ones are stored as differences to it.
    """
    first = sides[0].held
    pieces = {}
    if isinstance(first, Stored):
        for number, side in enumerate(sides):
            if isinstance(side.held, Stored) and side.held.reader is first.reader and side.plain:
                covering = side.covering(start, stop)
                if len(covering) <= MOST:
                    pieces[number] = covering
    if len(pieces) < 2:
        return [side.part(start, stop) for side in sides]
    assert isinstance(first, Stored)  # noqa: S101  (else there would be no pieces)
    blocks = first.blocks(dict.fromkeys(piece.id for found in pieces.values() for piece in found))
    return [
        side.joined(start, stop, blocks) if number in pieces else side.part(start, stop)
        for number, side in enumerate(sides)
    ]
