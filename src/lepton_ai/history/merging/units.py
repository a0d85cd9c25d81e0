"""What becomes of each file, as a whole: a file goes with those that it describes."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from lepton_ai.history.merging.deciding import decide
from lepton_ai.history.merging.sides import Side, Slot
from lepton_ai.types import FileEntry

Mark = tuple[object, ...] | None
Way = Literal["same", "ours", "theirs", "both", "removed", "tensors", "content", "presence"]


class Unit(msgspec.Struct, frozen=True):
    """A file (with those that it describes) on every side, and what becomes of it.

    ``way``: nobody changed it; ours or theirs (model ``taken``) alone did; both equally; it is removed; both changed
    the ``tensors`` of it, or the ``content`` of a file without tensors; or one removed what another changed.
    """

    slot: Slot[FileEntry]
    way: Way
    taken: int = 0

    @property
    def path(self) -> str:
        """What it is called: as ours calls it, if it has it."""
        return self.slot.any.path

    def place(self, entry: FileEntry) -> str:
        """Where ``entry``, which it becomes, goes: where one side alone moved it, else where ours has it."""
        there = [one.path for one in self.slot.models if one is not None]
        if len(there) < len(self.slot.models):
            return entry.path
        before = [one.path for one in self.slot.bases if one is not None]
        return there[decide(there, before, lambda one, other: one == other).taken]


def unit(slot: Slot[FileEntry], models: list[Side], bases: list[Side], *, everywhere: bool = False) -> Unit:
    """Decide what becomes of a file, from digests alone.

    ``everywhere``: tensors that one side alone changed are merged as well.
    """
    marks = [mark(side, entry) for side, entry in zip(models, slot.models, strict=True)]
    before = [mark(side, entry) for side, entry in zip(bases, slot.bases, strict=True)]
    decision = decide(marks, before, lambda one, other: one == other)
    if decision.kind == "same":
        return Unit(slot, "same")
    inside = _inside(slot, models)
    closer = everywhere or len(bases) > 1  # a file may equal one ancestor, and a tensor in it another
    changed = decision.kind == "one" or (everywhere and decision.kind == "both")
    if decision.kind == "conflict" or (closer and changed and inside == "tensors"):
        return Unit(slot, inside)
    if marks[decision.taken] is None:
        return Unit(slot, "removed", decision.taken)
    if decision.kind == "both" and decision.taken == 0:
        return Unit(slot, "both")
    return Unit(slot, "theirs" if decision.taken else "ours", decision.taken)


def _inside(slot: Slot[FileEntry], models: list[Side]) -> Way:
    if any(entry is None for entry in slot.models):
        return "presence"
    there = [
        entry is not None and entry.path in side.models
        for side, entry in zip(models, slot.models, strict=True)
    ]
    return "tensors" if all(there) else "content"


def mark(side: Side, entry: FileEntry | None) -> Mark:
    """What tells one state of a file from another; its path does not."""
    if entry is None:
        return None
    beside = [(path, side.files[path].sha256) for path in side.together.get(entry.path, ())]
    return entry.sha256, entry.executable, entry.target, tuple(beside)


def of_side(side: Side, entry: FileEntry) -> list[FileEntry]:
    """A file of a side with those that it describes."""
    return [entry, *(side.files[path] for path in side.together.get(entry.path, ()))]


def moved(entries: Sequence[FileEntry], path: str) -> list[FileEntry]:
    """A file and those that it describes when it goes to ``path``: they stay where they are, seen from it."""
    first, *beside = entries
    here, there = posixpath.dirname(first.path) or ".", posixpath.dirname(path)
    shifted = [
        one
        if here == (there or ".")
        else replace(one, path=posixpath.normpath(posixpath.join(there, posixpath.relpath(one.path, here))))
        for one in beside
    ]
    return [replace(first, path=path), *shifted]
