"""What a merge will do: the files and tensors of the merged version, before anything is computed or written."""

from __future__ import annotations

import msgspec

from lepton_ai.history.merging import units
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.carriers import Carrier
from lepton_ai.history.merging.introduced import Introduced
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.merging.tensors import Fate
from lepton_ai.history.states import Conflict
from lepton_ai.types import FileEntry


class FileFate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What becomes of a file, for people and machines. ``why``: what conflicted, or cannot be done."""

    path: str
    outcome: str
    why: str = ""


class Made(msgspec.Struct, frozen=True):
    """A file that is put together: the carrier's, with other tensors or (``data``) as it is given here.

    ``entry`` says where it goes, ``path`` where the carrier has it.
    """

    path: str
    entry: FileEntry
    carrier: Carrier | None = None
    data: bytes = b""

    @property
    def entries(self) -> list[FileEntry]:
        """It and those that it describes, where they go."""
        return [self.entry] if self.carrier is None else units.moved(self.carrier.entries, self.entry.path)


class Plan(msgspec.Struct):
    """What a merge will do.

    ``kept`` are files that a side has as they are (with the number of the model), ``made`` those that are put together.
    ``conflicts`` are open, and ``obstacles`` cannot be overcome: with either there is no merge. ``marked`` are the
    texts in which something conflicts, by path, with conflict markers. ``introduced``: NaN and infinities that came in,
    by tensor; known when it was carried out.
    """

    models: list[Side]
    bases: list[Side]
    asked: Request
    files: list[FileFate] = []
    fates: list[Fate] = []
    kept: list[tuple[int, FileEntry]] = []
    made: list[Made] = []
    conflicts: list[Conflict] = []
    obstacles: list[str] = []
    notes: list[str] = []
    aids: dict[str, list[Side]] = {}
    marked: dict[str, bytes] = {}
    introduced: dict[str, Introduced] = {}

    @property
    def possible(self) -> bool:
        """Whether it can be carried out."""
        return not self.conflicts and not self.obstacles

    @property
    def hindrance(self) -> str:
        """The first thing that keeps it from being carried out; empty: nothing does."""
        first = [*self.obstacles[:1], *(f"{one.name}: {one.why}" for one in self.conflicts[:1])]
        return first[0] if first else ""

    @property
    def fates_merged(self) -> bool:
        """Whether tensors of several sides come together in one file."""
        return any(made.carrier is not None for made in self.made)

    @property
    def same_as(self) -> int | None:
        """The model whose files the merged version has, all of them and no others; None: it has other ones."""
        if any(made.carrier is None or made.carrier.changes for made in self.made):
            return None
        wanted = {entry for _, entry in self.kept}
        wanted |= {entry for made in self.made for entry in made.entries}
        return next((n for n, side in enumerate(self.models) if set(side.record.files) == wanted), None)

    @property
    def to_read(self) -> int:
        """Bytes of tensors that methods will read, once."""
        slots = [fate.slot for fate in self.fates if fate.outcome == "merged"]
        aids = sum(one.nbytes for slot in slots for some in slot.aids.values() for one in some)
        return aids + sum(one.nbytes for slot in slots for one in slot.everywhere if one is not None)

    @property
    def bytes_read(self) -> int:
        """Bytes that were read to decide and to compute."""
        aids = [side for sides in self.aids.values() for side in sides]
        return sum(side.bytes_read for side in (*self.models, *self.bases, *aids))

    @property
    def to_pass(self) -> int:
        """Bytes of the files that are put together: they are hashed anew."""
        return sum(entry.size for made in self.made for entry in made.entries)
