"""The versions that take part in a merge, and what in one of them stands for what in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

import msgspec

from lepton_ai.history import counterparts
from lepton_ai.history.elements import Elements, Tensors
from lepton_ai.history.lines import Found
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.merging.virtual import StoredSource
from lepton_ai.history.reading import Reader, place_of
from lepton_ai.types import FileEntry, Record

T = TypeVar("T")


class Side:
    """A version that takes part: a model, or a common ancestor."""

    def __init__(self, found: Found, reader: Reader) -> None:
        self.found, self.reader = found, reader
        self.record: Record = found.record
        self._sources: dict[str, StoredSource] = {}

    @property
    def id(self) -> str:
        """The revision's id, hexadecimal."""
        return self.found.row.id.hex()

    @property
    def label(self) -> str:
        """What people call it."""
        row = self.found.row
        old = f"~{row.revision}" if self.found.newest != row.id else ""
        return f"{self.record.branch}@{self.record.name}{old}"

    @cached_property
    def files(self) -> dict[str, FileEntry]:
        """Its files by path."""
        return {entry.path: entry for entry in self.record.files}

    @cached_property
    def manifests(self) -> Mapping[str, Manifest]:
        """How its files are kept, by path."""
        return self.reader.opened(self.record.files).manifests

    @cached_property
    def tensors(self) -> Tensors:
        """Its tensors; what is read of them is counted as read for deciding and computing."""
        return Tensors(self.reader, self.record.files)

    @cached_property
    def passing(self) -> Tensors:
        """The same again; what is read of these only passes through into the merged file."""
        return Tensors(self.reader, self.record.files)

    @cached_property
    def models(self) -> set[str]:
        """Paths of the files that have tensors."""
        return {elements.path for elements in self.tensors.values()}

    @cached_property
    def beside(self) -> dict[str, str]:
        """Of files that another one describes (ONNX external data, SavedModel shards) the path of that one."""
        found: dict[str, str] = {}
        for path, manifest in self.manifests.items():
            for tensor in manifest.tensors:
                for extent in tensor.extents:
                    place = place_of(path, extent)
                    if place != path:
                        found.setdefault(place, path)
        return found

    @cached_property
    def together(self) -> dict[str, list[str]]:
        """The other way round: a file's path → the paths of the files that it describes."""
        found: dict[str, list[str]] = {}
        for place, path in sorted(self.beside.items()):
            found.setdefault(path, []).append(place)
        return found

    def source(self, path: str) -> StoredSource:
        """A file of it, as bytes."""
        source = self._sources.get(path)
        if source is None:
            source = self._sources[path] = StoredSource(self.reader, self.manifests[path].content)
        return source

    @property
    def bytes_passed(self) -> int:
        """What was read only to be put into the merged files."""
        passing = self.passing.bytes_read if "passing" in self.__dict__ else 0
        return passing + sum(source.bytes_read for source in self._sources.values())

    @property
    def bytes_read(self) -> int:
        """What was read for deciding and computing."""
        return self.tensors.bytes_read if "tensors" in self.__dict__ else 0


class Slot(msgspec.Struct, Generic[T]):
    """The same thing on every side that has it: ``models`` ours first, ``bases`` the common ancestors'.

    ``aids`` are further tensors by their kind, one for each model.
    """

    models: list[T | None]
    bases: list[T | None]
    aids: dict[str, tuple[T, ...]] = {}

    @property
    def everywhere(self) -> list[T | None]:
        """On all sides."""
        return [*self.models, *self.bases]

    @property
    def any(self) -> T:
        """Where it is found first."""
        return next(one for one in self.everywhere if one is not None)


def file_slots(models: list[Side], bases: list[Side]) -> list[Slot[FileEntry]]:
    """Which file stands for which; those that another file describes are left out, they go with it."""

    def own(side: Side) -> list[FileEntry]:
        return [entry for path, entry in side.files.items() if path not in side.beside]

    def pairs(one: Side, other: Side) -> Iterable[tuple[FileEntry | None, FileEntry | None]]:
        return counterparts.files(own(one), own(other), (one.models, other.models))

    return _slots(models, bases, own, pairs, lambda entry: entry.path)


def tensor_slots(models: list[Side], bases: list[Side]) -> list[Slot[Elements]]:
    """Which tensor stands for which."""

    def own(side: Side) -> list[Elements]:
        return list(side.tensors.values())

    def pairs(one: Side, other: Side) -> Iterable[tuple[Elements | None, Elements | None]]:
        paired = counterparts.files(one.files.values(), other.files.values(), (one.models, other.models))
        return counterparts.tensors(one.tensors, other.tensors, paired)

    return _slots(models, bases, own, pairs, lambda elements: elements.address)


def with_aids(slots: list[Slot[Elements]], aids: Mapping[str, list[Side]]) -> list[Slot[Elements]]:
    """Give each tensor the further ones of its name, where every one of these versions has it."""
    for slot in slots:
        for kind, sides in aids.items():
            name = slot.any.name
            found = [side.tensors[name] for side in sides if name in side.tensors]
            if len(found) == len(sides):
                slot.aids[kind] = tuple(found)
    return slots


def _slots(
    models: list[Side],
    bases: list[Side],
    own: Callable[[Side], list[T]],
    pairs: Callable[[Side, Side], Iterable[tuple[T | None, T | None]]],
    key: Callable[[T], str],
) -> list[Slot[T]]:
    """Every side is paired with ours; what ours lacks, with the side that had it first."""
    sides = [*models, *bases]
    rows: list[list[T | None]] = [[one, *[None] * (len(sides) - 1)] for one in own(sides[0])]
    for number, side in enumerate(sides[1:], 1):
        left = {key(one): one for one in own(side)}
        for first in range(number):
            of = {key(row[first]): row for row in rows if row[first] is not None}  # type: ignore[arg-type]
            for one, other in pairs(sides[first], side):
                if one is None or other is None or key(other) not in left:
                    continue
                row = of.get(key(one))
                if (
                    row is not None
                    and row[number] is None
                    and all(earlier is None for earlier in row[:first])
                ):
                    row[number] = left.pop(key(other))
        rows += [[None] * number + [one] + [None] * (len(sides) - 1 - number) for one in left.values()]
    return [Slot(row[: len(models)], row[len(models) :]) for row in rows]
