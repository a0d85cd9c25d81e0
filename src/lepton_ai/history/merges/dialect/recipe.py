"""A merge configuration that was read: which method, which models, and what each tensor is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.merges.dialect.layers import Layers, before_the_layers, depth, layers
from lepton_ai.history.merges.dialect.settings import Setting, value_of
from lepton_ai.history.merges.registry import method as method_called

Settings = dict[str, Setting]


class Entry(msgspec.Struct, frozen=True):
    """A model with what it is told, by its place in the recipe's ``models``; None is the base."""

    model: int | None
    parameters: Settings = {}


class Slice(msgspec.Struct, frozen=True):
    """Layers ``first`` … ``last`` (not included), made of the same layers of ``entries``; all layers without a last."""

    entries: tuple[Entry, ...]
    first: int = 0
    last: int | None = None
    parameters: Settings = {}


class Told(msgspec.Struct, frozen=True):
    """What a tensor is merged of: which of the recipe's models, in this order, and with which parameters."""

    models: tuple[int, ...]
    parameters: dict[str, Any]


class Recipe(msgspec.Struct, frozen=True):
    """What a configuration asks for.

    ``models`` are the names it gives them, without the base of a method that works on differences; ``base`` is "" when
    it names none. ``stored`` is the element type that the result is to be kept in ("": as it is). ``ignored`` are
    parameters that this method has no use for.
    """

    method: str
    models: tuple[str, ...]
    slices: tuple[Slice, ...]
    base: str = ""
    stored: str = ""
    parameters: Settings = {}
    ignored: tuple[str, ...] = ()

    def for_tensors(self, names: Iterable[str]) -> Chosen:
        """What it means for the tensors of a model that has those of these ``names``.

        Raises:
            UsageError: its slices are not the model's layers in their order.
        """
        found = layers(names)
        if self.slices[0].last is not None:
            self._check_layers(found)
        return Chosen(self, found)

    def _check_layers(self, found: Layers) -> None:
        counts = set(found.counts.values())
        if len(counts) > 1:
            stacks = ", ".join(f"{name} ({count})" for name, count in sorted(found.counts.items()))
            raise UsageError(
                f"slices: say nothing of which stack is meant: {stacks}", hint="use models: instead"
            )
        count, end = next(iter(counts), 0), self.slices[-1].last
        if end != count:
            raise UsageError(
                f"the slices end at layer {end}; the model has {count}",
                hint="a merged version keeps the layers of ours: slices have to cover them all, in place",
            )


class Chosen:
    """A recipe for the tensors of one model."""

    def __init__(self, recipe: Recipe, found: Layers) -> None:
        self._recipe, self._layers = recipe, found
        self._known = [(one.name, one.each) for one in method_called(recipe.method).parameters]

    def told(self, name: str) -> Told:
        """What the tensor ``name`` is told, with parameters as ``settled`` takes them."""
        piece, deep = self._piece(name)
        entries = [entry for entry in piece.entries if entry.model is not None]
        found: dict[str, Any] = {}
        for parameter, each in self._known:
            scopes = piece.parameters, self._recipe.parameters
            if each:
                values = [_first(parameter, name, deep, (one.parameters, *scopes)) for one in entries]
                if any(value is not None for value in values):
                    found[parameter] = values
            elif (value := _first(parameter, name, deep, scopes)) is not None:
                found[parameter] = value
        return Told(tuple(entry.model for entry in entries if entry.model is not None), found)

    def _piece(self, name: str) -> tuple[Slice, float]:
        """The slice that a tensor belongs to, and how deep in it."""
        slices = self._recipe.slices
        if slices[0].last is None:
            return slices[0], self._layers.depth(name)
        place = self._layers.place(name)
        if place is None:
            return slices[0 if before_the_layers(name) else -1], 0.0
        piece = next(one for one in slices if one.last is None or place[1] < one.last)
        return piece, depth(place[1] - piece.first, (piece.last or 0) - piece.first)


def _first(parameter: str, name: str, deep: float, scopes: Iterable[Settings]) -> float | bool | str | None:
    """The nearest scope that says something about this tensor counts."""
    for scope in scopes:
        if parameter in scope:
            value = value_of(scope[parameter], name, deep)
            if value is not None:
                return value
    return None
