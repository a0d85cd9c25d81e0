"""What becomes of each tensor: decided from the ids of blocks; elements are compared only where these cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lepton_ai.history.elements import Elements
from lepton_ai.history.merges.contract import Case
from lepton_ai.history.merges.parameters import obstacle
from lepton_ai.history.merges.registry import method as method_called
from lepton_ai.history.merging.asked import Pick, Request, picks
from lepton_ai.history.merging.deciding import Decision, decide
from lepton_ai.history.merging.sides import Slot
from lepton_ai.types import Attachment

AT_ONCE = 1 << 20
"""Elements that are compared at a time."""
FIRST = 1 << 12
"""Elements that are compared first: most tensors that differ do so at once."""

_HARMLESS = {"one": "changed on one side", "both": "changed equally"}
"""What is said of a tensor that is merged although it is in no conflict."""

Outcome = Literal["same", "ours", "theirs", "both", "merged", "removed", "conflict"]


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a tensor.

    ``outcome``: nobody changed it; ours or theirs (model ``taken``) alone did; both did equally; a method merges it
    (``pick``); who changed something removed it; or nothing is decided, ``why`` says why. ``reason`` is, of a tensor
    that is merged or taken in spite of a conflict, what conflicted.
    """

    address: str
    slot: Slot[Elements]
    outcome: Outcome
    taken: int = 0
    pick: Pick | None = None
    why: str = ""
    given: Attachment | None = None

    @property
    def result(self) -> Elements | None:
        """Whose elements it gets; None when they are computed, or there are none."""
        return self.slot.models[self.taken] if self.pick is None and self.given is None else None

    def computed(self, mine: Elements) -> bool:
        """Whether its elements in the place of ``mine`` are no tensor's as they are: merged, or rounded to a type."""
        return self.result is None or self.result.dtype != mine.dtype


def fate(slot: Slot[Elements], asked: Request) -> Fate:
    """Decide. Raises UsageError when a method cannot be told what it was told."""
    address = slot.any.address
    decision = _decision(slot)
    forced = (
        asked.everywhere and decision.kind in ("one", "both") and all(one is not None for one in slot.models)
    )
    if decision.kind != "conflict" and not forced:
        return Fate(address, slot, _outcome(slot, decision), decision.taken)
    why = _conflict(slot) if decision.kind == "conflict" else _HARMLESS[decision.kind]
    chosen = asked.choice("tensor", address)
    if chosen is not None and chosen.given is not None:
        return Fate(address, slot, "merged", why=why, given=chosen.given)
    for pick in picks(asked, address, len(slot.models)):
        problem = hindrance(slot, pick)
        if not problem:
            return _settled(address, slot, pick, why)
        why = f"{why}; {problem}" if problem not in why else why
    if forced:  # nothing forbids what is so without a method
        return Fate(address, slot, _outcome(slot, decision), decision.taken)
    return Fate(address, slot, "conflict", why=why)


def hindrance(slot: Slot[Elements], pick: Pick) -> str:
    """Why a method cannot merge a tensor; empty: it can."""
    method = method_called(pick.method)
    if method.takes:
        taken = _taken(method.takes, slot)
        return "" if taken is not None else f"there is no base for {pick.method} to take"
    if any(one is None for one in slot.models):
        return f"{pick.method} needs it on all sides"
    odd = next((one.tensor.dtype for one in slot.everywhere if one is not None and not is_float(one)), None)
    if odd is not None:
        return f"{pick.method} cannot compute with {odd}; take a side"
    return obstacle(method, case_of(address_of(slot), slot, pick, 0, {}))


def case_of(
    address: str, slot: Slot[Elements], pick: Pick, seed: int, held: Mapping[int, Any], *, wide: bool = False
) -> Case:
    """The case as methods see it; ``held`` gives parents for elements, by identity, where they are to be read."""

    def parent(one: Elements | None) -> Any:
        return held.get(id(one), one)

    base = next((one for one in slot.bases if one is not None), None)
    models = tuple(parent(one) for one in slot.models)
    aids = {kind: tuple(map(parent, some)) for kind, some in slot.aids.items()}
    before = None if base is None else parent(base)
    return Case(address, models, before, pick.parameters, aids, seed, wide)


def address_of(slot: Slot[Elements]) -> str:
    """What the tensor is called: as ours calls it, if it has it."""
    return slot.any.address


def is_float(elements: Elements) -> bool:
    """Whether there is arithmetic for its type."""
    return elements.tensor.dtype.startswith(("float", "bfloat"))


def equal(one: Elements | None, other: Elements | None) -> bool:
    """Whether two tensors have the same type, shape and bits; reads up to the first difference where it must."""
    import numpy as np

    if one is None or other is None:
        return one is other
    if known_equal(one, other):
        return True
    if (one.tensor.dtype, one.shape) != (other.tensor.dtype, other.shape):
        return False
    step = FIRST
    for start, stop in one.differing(other):
        while start < stop:
            end = min(stop, start + step)
            mine, its = (side.part(start, end).view(np.uint8) for side in (one, other))
            if not np.array_equal(mine, its):
                return False
            start, step = end, AT_ONCE  # noqa: PLW2901  (goes through the range)
    return True


def known_equal(one: Elements | None, other: Elements | None) -> bool:
    """The same, as far as it is known without reading."""
    if one is None or other is None:
        return one is other
    return one.same_as(other)


def _decision(slot: Slot[Elements]) -> Decision:
    """A conflict is one only when the elements themselves differ; so, too, what several ancestors have in common."""
    decision = decide(slot.models, slot.bases, known_equal)
    if decision.kind == "conflict" or (decision.kind == "one" and len(slot.bases) > 1):
        return decide(slot.models, slot.bases, equal)
    return decision


def _outcome(slot: Slot[Elements], decision: Decision) -> Outcome:
    if decision.kind == "same":
        return "same"
    if slot.models[decision.taken] is None:
        return "removed"
    if decision.kind == "both" and decision.taken == 0:
        return "both"
    return "theirs" if decision.taken else "ours"


def _settled(address: str, slot: Slot[Elements], pick: Pick, why: str) -> Fate:
    takes = method_called(pick.method).takes
    if not takes:
        return Fate(address, slot, "merged", pick=pick, why=why)
    taken = _taken(takes, slot)
    if taken is None or taken < 0:  # the base's: computed, which copies its elements
        return Fate(address, slot, "merged", pick=pick, why=why)
    gone = slot.models[taken] is None
    return Fate(address, slot, "removed" if gone else "theirs" if taken else "ours", taken, why=why)


def _taken(takes: str, slot: Slot[Elements]) -> int | None:
    """The number of the model that a method takes; -1 for the base, None when there is none."""
    if takes == "base":
        return -1 if any(base is not None for base in slot.bases) else None
    return 1 if takes == "theirs" else 0


def _conflict(slot: Slot[Elements]) -> str:
    """What is in conflict, in words that follow the tensor's name."""
    there = [one for one in slot.models if one is not None]
    if len(there) < len(slot.models):
        return "changed on one side, removed on the other"
    shapes = dict.fromkeys(one.tensor.shape for one in there)
    dtypes = dict.fromkeys(one.tensor.dtype for one in there)
    if len(shapes) > 1:
        return "has another shape: " + " and ".join(str(list(shape)) for shape in shapes)
    if len(dtypes) > 1:
        return "has another type: " + " and ".join(dtypes)
    return "changed on both sides" if len(there) == 2 else "changed differently"
