"""Tensors that a side calls otherwise than the common ancestor does: brought together with what they were called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from lepton_ai.errors import UsageError
from lepton_ai.history.elements import Elements
from lepton_ai.history.merging import mapping
from lepton_ai.history.merging.mapping import Line
from lepton_ai.history.merging.renames import Trait, detect
from lepton_ai.history.merging.sides import Side, Slot

SMALL = 4096
"""Bytes of a tensor whose content is compared itself: it shares its blocks with what stands around it."""
LOOKED_AT = 1024
"""Elements of which one at least has to differ from the first: zeros tell nothing of where they come from."""
SHOWN = 2


def together(
    slots: list[Slot[Elements]], models: list[Side], bases: list[Side], lines: tuple[Line, ...]
) -> tuple[list[Slot[Elements]], list[str]]:
    """The slots with renamed tensors in one, and what is to be said of them.

    Names that ``lines`` map are as they say; the others are found by content, see :func:`renames.detect`.

    Raises:
        UsageError: a line fits no tensor, or leads to none.
    """
    if not bases:
        return slots, []
    base, notes, joined = bases[0], list[str](), slots
    told = _told(base, models, lines) if lines else [{} for _ in models]
    for number, model in enumerate(models):
        gone = [name for name in base.tensors if name not in model.tensors and name not in told[number]]
        come = [name for name in model.tensors if name not in base.tensors]
        found = dict(told[number])
        if gone and come:
            taken = set(found.values())
            free = {name: model.tensors[name] for name in come if name not in taken}
            lost = {name: base.tensors[name] for name in gone}
            seen = detect(_traits(lost), _traits(free))
            found |= seen.all
            if seen.unclear:
                notes.append(f"{model.label} may have renamed {_shown(seen.unclear)}; --names FILE says how")
        if found:
            pairs = [f"{old} → {new}" for old, new in found.items()]
            notes.append(f"{model.label} renamed {len(found)} tensors: {_shown(pairs)}")
            joined = _joined(joined, number, found)
    return joined, notes


def _told(base: Side, models: list[Side], lines: tuple[Line, ...]) -> list[dict[str, str]]:
    """What the mapping renames in each model; one of them must fit it."""
    found: list[dict[str, str]] = []
    problems: list[UsageError] = []
    for model in models:
        try:
            found.append(mapping.names(lines, base.tensors, model.tensors, "the mapping of names"))
        except UsageError as problem:
            problems.append(problem)
            found.append({})
    if len(problems) == len(models):
        raise problems[-1]
    return found


def _traits(tensors: Mapping[str, Elements]) -> dict[str, Trait]:
    return {name: _trait(one) for name, one in tensors.items()}


def _trait(one: Elements) -> Trait:
    start = one.part(0, min(one.size, LOOKED_AT)).tobytes()
    width = max(one.dtype.itemsize, 1)
    content = one.part(0, one.size).tobytes() if one.nbytes <= SMALL else tuple(one.pieces)
    return Trait(one.tensor.dtype, one.shape, content, telling=start != start[:width] * (len(start) // width))


def _joined(slots: list[Slot[Elements]], number: int, names: Mapping[str, str]) -> list[Slot[Elements]]:
    """Put the model's tensor of the new name into the slot that has the old one."""
    old = {one.address: slot for slot in slots if (one := slot.bases[0]) is not None}
    new = {one.address: slot for slot in slots if (one := slot.models[number]) is not None}
    moved: dict[int, Slot[Elements] | None] = {}
    for before, after in names.items():
        to, from_ = old.get(before), new.get(after)
        if to is None or from_ is None or to.models[number] is not None or id(from_) in moved:
            continue
        left = [one if n != number else None for n, one in enumerate(from_.models)]
        moved[id(to)] = replace(
            to, models=[one if n != number else from_.models[n] for n, one in enumerate(to.models)]
        )
        moved[id(from_)] = replace(from_, models=left) if any(_there([*left, *from_.bases])) else None
    result = [moved.get(id(slot), slot) for slot in slots]
    return [slot for slot in result if slot is not None]


def _there(row: Iterable[Elements | None]) -> list[bool]:
    return [one is not None for one in row]


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (" …" if len(listed) > SHOWN else "")
