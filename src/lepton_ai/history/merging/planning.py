"""From versions to what becomes of every file and tensor, before anything is computed or written."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.elements import Elements
from lepton_ai.history.merging import checks, contents, programs, recut, renamed, units
from lepton_ai.history.merging.asked import STOP, Request, check_models
from lepton_ai.history.merging.carriers import Carrier, carrier
from lepton_ai.history.merging.plan import FileFate, Made, Plan
from lepton_ai.history.merging.recut import Group
from lepton_ai.history.merging.sides import Side, Slot, file_slots, tensor_slots, with_aids
from lepton_ai.history.merging.tensors import Fate, fate
from lepton_ai.history.merging.units import Unit
from lepton_ai.history.paths import trouble
from lepton_ai.history.states import Conflict
from lepton_ai.types import FileEntry


def plan(
    models: list[Side], bases: list[Side], asked: Request, aids: Mapping[str, list[Side]] | None = None
) -> Plan:
    """Decide everything that can be decided. Reads elements only where blocks cannot tell whether they are equal.

    ``aids`` are versions of further tensors by their kind, one for each model.

    Raises:
        UsageError: a method takes not so many models, or not what it is told.
    """
    try:
        check_models(asked, len(models))
    except UsageError as problem:
        named = ", ".join(side.label for side in models)
        raise UsageError(f"{problem.message}: {named}", hint=problem.hint) from None
    made = Plan(models, bases, asked, aids=dict(aids or {}))
    for kind, sides in made.aids.items():
        if len(sides) != len(models):
            raise UsageError(
                f"{len(sides)} versions of {kind} are named for {len(models)} models",
                hint="one for each model, ours first",
            )
    slots, notes = renamed.together(tensor_slots(models, bases), models, bases, asked.names)
    made.notes += notes
    made.notes += checks.idle_rules(asked.rules, [slot.any.address for slot in slots])
    apart = recut.parted(file_slots(models, bases), with_aids(slots, made.aids), [*models, *bases])
    found = [units.unit(slot, models, bases, everywhere=asked.everywhere) for slot in apart.files]
    tensors = _by_unit(found, apart.tensors)
    following = [unit for unit in found if programs.belongs(unit, models)]
    for unit in found:
        if not any(unit is one for one in following):
            _place(made, unit, tensors.get(id(unit), []))
    for group in apart.groups:
        _place_group(made, group)
    for unit in following:
        _place_program(made, unit)
    _check_paths(made)
    _check_meanings(made)
    return made


def _place(made: Plan, unit: Unit, slots: list[Slot[Elements]]) -> None:
    if unit.way == "tensors":
        _put_together(made, unit, [fate(slot, made.asked) for slot in slots])
        return
    made.fates += [_of_file(slot, unit) for slot in slots]
    if unit.way in ("same", "both", "ours", "theirs"):
        entry = unit.slot.models[unit.taken]
        if entry is not None:
            _keep(made, unit.taken, entry, unit.place(entry))
        if unit.way != "same":
            made.files.append(FileFate(unit.path, unit.way))
    elif unit.way == "removed":
        made.files.append(FileFate(unit.path, "removed"))
    else:
        _content(made, unit)


def _place_program(made: Plan, unit: Unit) -> None:
    """What a SavedModel holds besides its variables: of the side that these are of."""
    number, together = programs.side_of(made, unit)
    entry = unit.slot.models[number]
    if entry is None or not (together or unit.way == "content"):
        _place(made, unit, [])
        return
    which = "theirs" if number else "ours"
    _keep(made, number, entry, unit.place(entry))
    if unit.way != "same":
        made.files.append(FileFate(unit.path, which))
    if unit.way == "content":
        made.notes.append(f"{unit.path} changed on both sides: {which} is kept, with the tensors of both")


def _place_group(made: Plan, group: Group) -> None:
    """Files that the sides cut differently, and what tells of them: all as one side has them."""
    unit = recut.whole(group, made.models, made.bases, everywhere=made.asked.everywhere)
    if unit is not None:
        made.fates += [_of_file(slot, unit) for slot in group.tensors]
        kept = [*group.of(unit.taken), *group.beside(unit.taken)]
        made.files += [FileFate(one.path, unit.way) for one in kept if unit.way != "same"]
    else:
        found = recut.carriers(group, made.models, made.bases, made.asked)
        for one in found:
            _carry(made, one, one.entries[0].path, one.entries[0].path)
        kept = group.beside(found[0].number)
    taken = found[0].number if unit is None else unit.taken
    for entry in kept:
        _keep(made, taken, entry, entry.path)


def _put_together(made: Plan, unit: Unit, fates: list[Fate]) -> None:
    """A file whose tensors both changed: the carrier's, with the tensors that it lacks."""
    found = carrier(unit, fates, made.models, made.bases, made.asked)
    if problem := programs.unclear(made, unit):
        made.obstacles.append(problem)
    path = found.entries[0].path
    place = unit.place(found.entries[0])
    same_kind = posixpath.splitext(place)[1] == posixpath.splitext(path)[1]
    _carry(made, found, place if same_kind else path, unit.path)


def _carry(made: Plan, found: Carrier, place: str, called: str) -> None:
    made.fates += found.fates
    made.notes += found.notes
    made.obstacles += found.obstacles
    made.conflicts += [
        Conflict("tensor", one.address, one.why) for one in found.fates if one.outcome == "conflict"
    ]
    first = found.entries[0]
    made.made.append(Made(first.path, msgspec.structs.replace(first, path=place), found))
    made.files.append(FileFate(called, "tensors merged"))


def _content(made: Plan, unit: Unit) -> None:
    """A file without tensors that both changed, or one that somebody removed."""
    if _as_chosen(made, unit):
        return
    merged = contents.merged(unit, made.models, made.bases) if unit.way == "content" else None
    ours = unit.slot.models[0]
    if merged is not None and merged.clean and ours is not None:
        placed = msgspec.structs.replace(ours, path=unit.place(ours))
        made.made.append(Made(ours.path, placed, data=merged.data))
        made.files.append(FileFate(unit.path, f"merged by {merged.outcome}"))
        return
    why = merged.why if merged is not None else _WHY["presence"]
    if merged is not None and merged.data:
        made.marked[unit.path] = merged.data
    side = {"take_ours": 0, "take_theirs": 1}.get(made.asked.on_conflict)
    if side is None:
        if made.asked.on_conflict != STOP:
            why += f"; {made.asked.on_conflict} is for tensors"
        made.conflicts.append(Conflict("file", unit.path, why))
        made.files.append(FileFate(unit.path, "conflict", why))
        return
    entry = unit.slot.models[side]
    if entry is not None:
        _keep(made, side, entry, entry.path)
    made.files.append(FileFate(unit.path, "removed" if entry is None else ("ours", "theirs")[side], why))


def _as_chosen(made: Plan, unit: Unit) -> bool:
    """Do what somebody decided for a file; whether somebody did."""
    chosen = made.asked.choice("file", unit.path)
    if chosen is None:
        return False
    entry: FileEntry | None
    if chosen.given is not None:
        entry = unit.slot.any
        data = made.models[0].reader.attachment(chosen.given)
        made.made.append(Made(entry.path, msgspec.structs.replace(entry, target=None), data=data))
        made.files.append(FileFate(unit.path, "given", _WHY[unit.way]))
        return True
    if chosen.method == "take_base":
        number, entry = next(((n, e) for n, e in enumerate(unit.slot.bases) if e is not None), (0, None))
        made.kept += [(-1, one) for one in (units.of_side(made.bases[number], entry) if entry else [])]
    else:
        side = {"take_ours": 0, "take_theirs": 1}[chosen.method]
        entry = unit.slot.models[side]
        if entry is not None:
            _keep(made, side, entry, entry.path)
    outcome = chosen.method.removeprefix("take_") if entry is not None else "removed"
    made.files.append(FileFate(unit.path, outcome, _WHY[unit.way]))
    return True


_WHY = {"content": "changed on both sides", "presence": "changed on one side, removed on the other"}


def _keep(made: Plan, side: int, entry: FileEntry, path: str) -> None:
    made.kept += [(side, one) for one in units.moved(units.of_side(made.models[side], entry), path)]


def _of_file(slot: Slot[Elements], unit: Unit) -> Fate:
    """The fate of a tensor in a file that is taken, or goes, as it is."""
    mine = slot.models[unit.taken]
    others = [one for one in [*slot.models, *slot.bases] if one is not mine]
    same = mine is not None and all(other is not None and mine.same_as(other) for other in others)
    if unit.way == "same" or same:
        return Fate(slot.any.address, slot, "same", unit.taken)
    outcome = {"both": "both", "ours": "ours", "theirs": "theirs"}.get(unit.way, "removed")
    return Fate(slot.any.address, slot, outcome if mine is not None else "removed", unit.taken)  # type: ignore[arg-type]  # one of Outcome


def _by_unit(found: list[Unit], slots: Iterable[Slot[Elements]]) -> dict[int, list[Slot[Elements]]]:
    """The tensors of each unit: that of the file which has them on the first side that does."""
    places = {
        (side, entry.path): id(unit)
        for unit in found
        for side, entry in enumerate(unit.slot.everywhere)
        if entry is not None
    }
    result: dict[int, list[Slot[Elements]]] = {}
    for slot in slots:
        side, one = next((n, one) for n, one in enumerate(slot.everywhere) if one is not None)
        result.setdefault(places[side, one.path], []).append(slot)
    return result


def _check_paths(made: Plan) -> None:
    """Files that one folder cannot hold together: say so before anything is done."""
    entries = [entry for _, entry in made.kept]
    entries += [entry for one in made.made for entry in one.entries]
    problem = trouble([(entry.path, entry.target) for entry in entries])
    if problem:
        made.obstacles.append(problem)
    made.obstacles += recut.mixed([entry.path for entry in entries], made.models)


def _check_meanings(made: Plan) -> None:
    """Vocabularies and labels that number words differently: elements of the two sides then mean different things."""
    for finding in checks.meanings(made.models):
        accepted = made.asked.on_conflict != STOP or made.asked.choice("meaning", finding.where)
        if finding.grave and made.fates_merged and not accepted:
            made.conflicts.append(Conflict("meaning", finding.where, finding.said))
        else:
            made.notes.append(f"{finding.where} differs: {finding.said}")
