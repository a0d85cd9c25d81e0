"""A SavedModel's program, which lies in files of its own, goes with its variables: it knows them by their numbers."""

from __future__ import annotations

import posixpath

from lepton_ai.formats.object_graph import NUMBERED
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.rest import program
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.merging.units import Unit

_OF_A_MODEL = {"saved_model.pb", "fingerprint.pb", "keras_metadata.pb"}


def belongs(unit: Unit, models: list[Side]) -> bool:
    """Whether it is what a SavedModel holds besides its tensors.

    TensorFlow writes it anew, with other numbers and in another order, whenever it saves the same program.
    """
    index = _index(unit.path)
    return posixpath.basename(unit.path) in _OF_A_MODEL and all(index in side.models for side in models)


def side_of(made: Plan, unit: Unit) -> tuple[int, bool]:
    """Of which model the variables are, and whether they are put together of several. The plan has placed them."""
    index = _index(unit.path)
    for one in made.made:
        if one.carrier is not None and one.path == index:
            return one.carrier.number, True
    return next((number for number, entry in made.kept if entry.path == index), 0), False


def unclear(made: Plan, unit: Unit) -> str:
    """Why the variables of an index cannot be told apart; empty: they can.

    Keras 3 exports them in an order that is never the same, and not always with names of which each is there once.
    """
    sides = [*made.models, *made.bases]
    there = [(side, entry) for side, entry in zip(sides, unit.slot.everywhere, strict=True) if entry]
    numbered = any(
        one.path == entry.path and NUMBERED.fullmatch(one.name)
        for side, entry in there
        for one in side.tensors.values()
    )
    if not numbered or len({program(side, entry.path) for side, entry in there}) == 1:
        return ""
    return (
        f"{unit.path} numbers its variables anew at each export, and nothing in it tells which is which:"
        " merge the .keras files, and export what came of it"
    )


def _index(path: str) -> str:
    return posixpath.join(posixpath.dirname(path), "variables", "variables.index")
