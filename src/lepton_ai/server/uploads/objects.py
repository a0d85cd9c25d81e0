"""Unfinished packs in an object store, where nothing can grow: every stretch that arrived is an object."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lepton_ai.server.uploads.contract import EXPIRES, PREFIX, Ticket, parse
from lepton_ai.server.uploads.folder import elsewhere, incomplete, too_much
from lepton_ai.store.contract import Blobs
from lepton_ai.store.durable import storage_errors

_STEP = 4 << 20


class Stretch(NamedTuple):
    """An object that holds ``length`` bytes of a pack from ``offset``."""

    name: str
    offset: int
    length: int


class ObjectsDesk:
    """Stretches are named by where they begin and how long they are; what is held is what follows without a gap.

    ``scratch`` is a folder of this server for what has not arrived wholly.
    """

    def __init__(self, blobs: Blobs, scratch: Path) -> None:
        self._blobs, self._scratch = blobs, scratch

    def held(self, ticket: Ticket) -> int:
        """How many bytes there are from the beginning."""
        line = self._line(ticket)
        return line[-1].offset + line[-1].length if line else 0

    def open(self, ticket: Ticket, offset: int) -> ObjectPart:
        """Begin to take bytes from ``offset``."""
        held = self.held(ticket)
        if held != offset:
            raise elsewhere(held, offset)
        return ObjectPart(self._blobs, self._scratch, ticket, offset)

    def whole(self, ticket: Ticket, folder: Path) -> Path:
        """All bytes in one file in ``folder``."""
        held = self.held(ticket)
        if held != ticket.size:
            raise incomplete(ticket, held)
        target = folder / ticket.pack
        with storage_errors(target, ticket.size), target.open("wb") as file:
            for stretch in self._line(ticket):
                for start in range(0, stretch.length, _STEP):
                    file.write(self._blobs.get(stretch.name, start, min(_STEP, stretch.length - start)))
        return target

    def drop(self, ticket: Ticket) -> None:
        """Forget the upload."""
        self._blobs.delete([info.name for info in self._blobs.list(f"{PREFIX}/{ticket.id}/")])

    def announced(self, person: str) -> int:
        """Bytes of all uploads of one person, as announced."""
        return sum(ticket.size for ticket in self._all() if ticket.person == person)

    def sweep(self) -> None:
        """Forget uploads that were abandoned."""
        for ticket, last in self._all().items():
            if time.time() - last > EXPIRES:
                self.drop(ticket)

    def _all(self) -> dict[Ticket, float]:
        """Uploads, and when their last byte came."""
        found: dict[Ticket, float] = {}
        for info in self._blobs.list(f"{PREFIX}/"):
            ticket = parse(info.name.split("/")[1])
            if ticket is not None:
                found[ticket] = max(info.written_at, found.get(ticket, 0.0))
        return found

    def _line(self, ticket: Ticket) -> list[Stretch]:
        """The stretches that follow each other from the beginning, each the longest that begins there."""
        longest: dict[int, Stretch] = {}
        for stretch in self._stretches(ticket):
            if stretch.offset not in longest or longest[stretch.offset].length < stretch.length:
                longest[stretch.offset] = stretch
        line: list[Stretch] = []
        place = 0
        while place in longest:
            line.append(longest[place])
            place += longest[place].length
        return line

    def _stretches(self, ticket: Ticket) -> Iterator[Stretch]:
        for info in self._blobs.list(f"{PREFIX}/{ticket.id}/"):
            offset = info.name.rpartition("/")[2]
            if offset.partition("-")[0].isdecimal() and info.size:
                yield Stretch(info.name, int(offset.partition("-")[0]), info.size)


class ObjectPart:
    """Bytes that are arriving, gathered on this server until they stop; then they are an object."""

    def __init__(self, blobs: Blobs, scratch: Path, ticket: Ticket, offset: int) -> None:
        self._blobs, self._ticket, self._offset, self._size = blobs, ticket, offset, 0
        self._path = scratch / f"{ticket.id}-{offset}-{time.monotonic_ns()}"
        with storage_errors(self._path):
            self._file = self._path.open("xb")

    def write(self, data: bytes) -> None:
        """Keep more of it."""
        if self._offset + self._size + len(data) > self._ticket.size:
            raise too_much(self._ticket)
        with storage_errors(self._path, len(data)):
            self._file.write(data)
        self._size += len(data)

    def close(self) -> int:
        """Make what came an object."""
        with storage_errors(self._path):
            self._file.close()
        if self._size:
            name = f"{PREFIX}/{self._ticket.id}/{self._offset:016d}-{self._size}"
            self._blobs.put(name, self._path)
        self._path.unlink(missing_ok=True)
        return self._offset + self._size
