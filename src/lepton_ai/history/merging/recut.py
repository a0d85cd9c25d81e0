"""Model files that the sides cut differently, into other shards: merged across files, as one side has them.

Such files are one thing, since tensors of one stand in another elsewhere: taken as a whole from one side, or put
together tensor by tensor. Shards of two cuts never come together.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.history.elements import Elements
from lepton_ai.history.merging import text, units
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.carriers import Carrier, Signature, carried
from lepton_ai.history.merging.deciding import decide
from lepton_ai.history.merging.sides import Side, Slot
from lepton_ai.history.merging.tensors import Fate, fate
from lepton_ai.history.merging.units import Unit
from lepton_ai.types import FileEntry

INDEX = ".index.json"
_SHARD = re.compile(r"(.+)-\d+-of-(\d+)(\.[^/]+)")


class Group(msgspec.Struct, frozen=True):
    """Files whose tensors stand in other ones of them elsewhere; ``indexes`` say which tensor is in which."""

    files: list[Slot[FileEntry]]
    tensors: list[Slot[Elements]]
    indexes: list[Slot[FileEntry]]

    def of(self, number: int) -> list[FileEntry]:
        """The files with tensors of one side; common ancestors are counted on from the models."""
        return [entry for slot in self.files if (entry := slot.everywhere[number]) is not None]

    def beside(self, number: int) -> list[FileEntry]:
        """The indexes of a model."""
        return [entry for slot in self.indexes if (entry := slot.models[number]) is not None]


class Parted(msgspec.Struct, frozen=True):
    """The groups, and what is in none of them."""

    groups: list[Group]
    files: list[Slot[FileEntry]]
    tensors: list[Slot[Elements]]


def parted(files: list[Slot[FileEntry]], tensors: list[Slot[Elements]], sides: list[Side]) -> Parted:
    """Find the groups. ``sides`` are the models and the common ancestors."""
    where = {
        (side, entry.path): number
        for number, slot in enumerate(files)
        for side, entry in enumerate(slot.everywhere)
        if entry is not None
    }
    leaders = list(range(len(files)))

    def first(number: int) -> int:
        while leaders[number] != number:
            number = leaders[number]
        return number

    homes = []
    for slot in tensors:
        places = [where[side, one.path] for side, one in enumerate(slot.everywhere) if one is not None]
        together = {first(place) for place in places}
        for place in together:
            leaders[place] = min(together)
        homes.append(places[0])
    members: dict[int, list[int]] = {}
    for number in range(len(files)):
        members.setdefault(first(number), []).append(number)
    groups = {
        leader: Group([files[number] for number in several], [], [])
        for leader, several in members.items()
        if len(several) > 1
    }
    left = [slot for number, slot in enumerate(files) if first(number) not in groups]
    for group in groups.values():
        group.indexes.extend(slot for slot in left if _tells(slot, group, sides))
        left = [slot for slot in left if all(slot is not one for one in group.indexes)]
    others: list[Slot[Elements]] = []
    for slot, home in zip(tensors, homes, strict=True):
        joined = groups.get(first(home))
        (others if joined is None else joined.tensors).append(slot)
    return Parted(list(groups.values()), left, others)


def whole(group: Group, models: list[Side], bases: list[Side], *, everywhere: bool) -> Unit | None:
    """What becomes of a group that one side alone changed, or all equally; None: its tensors are to be merged."""
    marks = [
        frozenset((entry.path, units.mark(side, entry)) for entry in group.of(number))
        for number, side in enumerate([*models, *bases])
    ]
    decision = decide(marks[: len(models)], marks[len(models) :], lambda one, other: one == other)
    if decision.kind == "conflict" or everywhere or len(bases) > 1:
        return None
    if not marks[decision.taken]:
        return Unit(group.files[0], "removed", decision.taken)
    if decision.kind in ("same", "both") and decision.taken == 0:
        return Unit(group.files[0], "same" if decision.kind == "same" else "both")
    return Unit(group.files[0], "theirs" if decision.taken else "ours", decision.taken)


def carriers(group: Group, models: list[Side], bases: list[Side], asked: Request) -> list[Carrier]:
    """The files of one side, with the tensors that get other elements: ours, unless theirs alone has other tensors."""
    number = _number(group, models, bases, asked)
    entries = group.of(number)
    fates = {entry.path: list[Fate]() for entry in entries}
    for slot in group.tensors:
        mine = slot.models[number]
        fates[entries[0].path if mine is None else mine.path].append(fate(slot, asked))
    note = f"model files are cut differently: they are merged as {models[number].label} has them"
    return [
        carried(number, entry, fates[entry.path], models, asked, [] if place else [note])
        for place, entry in enumerate(entries)
    ]


def mixed(paths: Iterable[str], sides: list[Side]) -> Iterator[str]:
    """Lines about shards of two cuts that would be left together, though no side has both."""
    there = [_cuts(side.files) for side in sides]
    for key, cuts in _cuts(paths).items():
        if len(cuts) > 1 and not any(cuts.keys() <= side.get(key, {}).keys() for side in there):
            yield (
                f"shards of two models would be left together: {' and '.join(cuts.values())}; if it is one model"
                " with other names, --names FILE says which; else remove it on one side"
            )


def _number(group: Group, models: list[Side], bases: list[Side], asked: Request) -> int:
    signatures: list[Signature] = [
        frozenset(
            (one.name, one.tensor.dtype, one.tensor.shape)
            for slot in group.tensors
            if (one := slot.everywhere[number]) is not None
        )
        for number in range(len(models) + len(bases))
    ]
    decision = decide(signatures[: len(models)], signatures[len(models) :], lambda one, other: one == other)
    prefer = 1 if decision.kind == "conflict" and asked.on_conflict == "take_theirs" else decision.taken
    order: list[int] = [prefer, *range(len(models))]
    return next(number for number in order if group.of(number))


def _tells(slot: Slot[FileEntry], group: Group, sides: list[Side]) -> bool:
    """Whether a file is the group's index on one of the sides."""
    for number, (side, entry) in enumerate(zip(sides, slot.everywhere, strict=True)):
        if entry is None or not entry.path.endswith(INDEX) or entry.target is not None:
            continue
        named = _named(side, entry)
        if any(one.path in named for one in group.of(number)):
            return True
    return False


def _named(side: Side, entry: FileEntry) -> set[str]:
    """The paths of the files that an index names; none when it is no index."""
    if entry.size > text.LARGEST:
        return set()
    try:
        told = msgspec.json.decode(side.source(entry.path).read(0, entry.size), type=ready(_Index))
    except (msgspec.DecodeError, RecursionError):
        return set()
    folder = posixpath.dirname(entry.path)
    return {posixpath.normpath(posixpath.join(folder, name)) for name in told.weight_map.values()}


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def _cuts(paths: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Of shards, by what they have in common: how many there are → one of them."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for path in paths:
        shard = _SHARD.fullmatch(path)
        if shard is not None:
            found.setdefault((shard[1], shard[3]), {}).setdefault(shard[2], path)
    return found
