"""The file that a merged one is made from: ours, unless theirs alone changed what there is besides the elements."""

from __future__ import annotations

import msgspec

from lepton_ai.formats import splice
from lepton_ai.history.elements import Elements
from lepton_ai.history.merges.registry import method as method_called
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.deciding import decide
from lepton_ai.history.merging.rest import rest
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.merging.tensors import Fate, is_float, known_equal
from lepton_ai.history.merging.units import Unit, of_side
from lepton_ai.types import FileEntry

Signature = frozenset[tuple[str, str, tuple[int, ...]]]


class Carrier(msgspec.Struct, frozen=True):
    """Model ``number`` carries the file: ``entries`` are it and those that it describes.

    ``changes`` are the tensors of it that get other elements, by their names in the file. ``fates`` are what becomes
    of its tensors, ``obstacles`` what cannot be done.
    """

    number: int
    models: list[Side]
    entries: list[FileEntry]
    fates: list[Fate]
    changes: dict[str, Fate]
    obstacles: list[str]
    notes: list[str]

    @property
    def side(self) -> Side:
        """Whose file it is."""
        return self.models[self.number]


def carrier(unit: Unit, fates: list[Fate], models: list[Side], bases: list[Side], asked: Request) -> Carrier:
    """Choose the file, and say what changes in it."""
    number, notes = _chosen(unit, models, bases, asked)
    entry = unit.slot.models[number]
    if entry is None:
        raise ValueError("a side without the file was chosen to carry it")
    return carried(number, entry, fates, models, asked, notes)


def carried(
    number: int, entry: FileEntry, fates: list[Fate], models: list[Side], asked: Request, notes: list[str]
) -> Carrier:
    """What changes in the file of model ``number``."""
    side = models[number]
    settled, changes, obstacles = list[Fate](), dict[str, Fate](), list[str]()
    for fate in fates:
        kept = _held(fate, number, asked)
        settled.append(kept)
        mine = kept.slot.models[number]
        if mine is None or kept.outcome in ("conflict", "removed"):
            continue
        if kept.outcome == "merged" or not _is_there(kept, mine):
            changes[mine.name] = kept
    folder = {path: side.source(path) for path, one in side.files.items() if one.target is None}
    refused = splice.refusals(entry.path, side.manifests[entry.path], folder, changes)
    obstacles += [f"{name} of {entry.path} {why}" for name, why in refused.items()]
    return Carrier(number, models, of_side(side, entry), settled, changes, obstacles, notes)


def _chosen(unit: Unit, models: list[Side], bases: list[Side], asked: Request) -> tuple[int, list[str]]:
    """The number of the model whose file it is, and what is to be said of that."""
    entries = list(zip(models, unit.slot.models, strict=True))
    before = [(side, entry) for side, entry in zip(bases, unit.slot.bases, strict=True) if entry is not None]
    tensors = decide([_signature(*one) for one in entries], [_signature(*one) for one in before], _same)
    prefer = 1 if asked.on_conflict == "take_theirs" else 0
    if tensors.kind == "conflict":
        return prefer, []
    if tensors.kind == "one":
        return tensors.taken, []
    formats = {side.manifests[entry.path].format for side, entry in [*entries, *before] if entry is not None}
    if len(formats) > 1:
        return 0, []
    others = decide([rest(*one) for one in entries], [rest(*one) for one in before], _same)
    if others.kind == "conflict":
        which = ("ours", "theirs")[prefer]
        return prefer, [f"what {unit.path} holds besides tensors changed on both sides: {which} is kept"]
    return others.taken, []


def _same(one: object, other: object) -> bool:
    return one == other


def _signature(side: Side, entry: FileEntry | None) -> Signature:
    """Which tensors a file has."""
    path = "" if entry is None else entry.path
    return frozenset(
        (one.name, one.tensor.dtype, one.tensor.shape) for one in side.tensors.values() if one.path == path
    )


def _held(fate: Fate, number: int, asked: Request) -> Fate:
    """The fate of a tensor in a file that can neither get nor lose tensors, nor change their shapes."""
    mine = fate.slot.models[number]
    why = _misfit(fate, mine)
    if not why:
        return fate
    chosen = asked.choice("tensor", fate.address)
    side = {"take_ours": 0, "take_theirs": 1}.get(chosen.method if chosen else asked.on_conflict)
    why = "; ".join(filter(None, (fate.why, why)))
    if side != number:
        return msgspec.structs.replace(fate, outcome="conflict", pick=None, why=why)
    outcome = "removed" if mine is None else "theirs" if number else "ours"
    return Fate(fate.address, fate.slot, outcome, number, why=why)  # type: ignore[arg-type]  # one of Outcome


def _misfit(fate: Fate, mine: Elements | None) -> str:
    if fate.outcome == "conflict":
        return ""
    if fate.outcome == "removed":
        return "removed on one side, while the other changed which tensors there are" if mine else ""
    if mine is None:
        return "added on one side, while the other changed which tensors there are"
    gives = fate.result or _giving(fate)
    if gives.shape != mine.shape:
        return f"has another shape: {list(mine.shape)} and {list(gives.shape)}"
    if gives.tensor.dtype != mine.tensor.dtype and not (is_float(gives) and is_float(mine)):
        return f"has another type: {mine.tensor.dtype} and {gives.tensor.dtype}"
    return ""


def _giving(fate: Fate) -> Elements:
    """Whose shape and type a merged tensor has: the base's, if a method takes that, else ours."""
    base = fate.pick is not None and method_called(fate.pick.method).takes == "base"
    return next(one for one in (fate.slot.bases if base else fate.slot.models) if one is not None)


def _is_there(fate: Fate, mine: Elements) -> bool:
    """Whether the carrier has the elements already."""
    return fate.result is mine or known_equal(fate.result, mine)
