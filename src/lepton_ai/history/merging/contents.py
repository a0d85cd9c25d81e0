"""Files without tensors that both sides changed: texts line by line, JSON by key."""

from __future__ import annotations

import io

import msgspec

from lepton_ai.history.merging import text
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.merging.units import Unit
from lepton_ai.types import FileEntry


class Content(msgspec.Struct, frozen=True):
    """What came of it: ``data`` (with conflict markers unless ``clean``), by ``outcome``; ``why`` it is a conflict."""

    data: bytes
    outcome: str
    why: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is left to decide."""
        return not self.why


def merged(unit: Unit, models: list[Side], bases: list[Side]) -> Content:
    """Merge the contents of a file; reads them whole, if they are texts of a size that people read."""
    entries = [*unit.slot.models, *unit.slot.bases[:1]]
    if len(models) != 2:
        return Content(b"", "", "changed differently by several")
    if any(
        entry is not None and (entry.target is not None or entry.size > text.LARGEST) for entry in entries
    ):
        return Content(b"", "", "changed on both sides, and is no text")
    sides = [*models, *bases[:1]]
    ours, theirs, *before = (_read(side, entry) for side, entry in zip(sides, entries, strict=True))
    if ours is None or theirs is None:
        raise ValueError("merged without the two contents")
    labels = text.Labels(*(side.label for side in (models[0], *(bases[:1] or models[:1]), models[1])))
    found = text.merge(before[0] if before else None, ours, theirs, labels)
    if found.clean:
        return Content(found.data, found.outcome)
    if found.outcome == "binary":
        return Content(b"", "", "changed on both sides, and is no text")
    places = f"{found.hunks} place{'s' if found.hunks != 1 else ''}"
    return Content(found.data, found.outcome, f"changed on both sides, differently in {places}")


def _read(side: Side, entry: FileEntry | None) -> bytes | None:
    if entry is None:
        return None
    sink = io.BytesIO()
    side.reader.copy(entry, sink)
    return sink.getvalue()
