"""From an announcement to a pack that counts: checked against its name and its own table, then registered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from blake3 import blake3

from lepton_ai.errors import ConflictError, Damaged, LeptonError, NoSpace, UsageError
from lepton_ai.server.uploads.contract import MOST_OPEN, Desk, Part, Ticket, ticket_for
from lepton_ai.server.uploads.direct import Direct
from lepton_ai.store.contract import BlobInfo, Blobs, PackInfo
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.packs.format import TRAILER_SIZE, blob_name, unpack_trailer
from lepton_ai.store.packs.reader import is_there, read_footer

RESERVE = 64 << 20
"""Bytes that stay free on the disk."""


class Taking:
    """Packs coming into one repository.

    ``blobs`` are its packs, listed in the catalog; ``enter`` tells the index of this server about a new one. ``direct``
    takes packs straight into an object store that can do so.
    """

    def __init__(
        self,
        blobs: Blobs,
        desk: Desk,
        staged: Callable[[], Path],
        enter: Callable[[PackInfo, bytes], None],
        *,
        room: Path | None = None,
        direct: Direct | None = None,
    ) -> None:
        self.blobs, self.desk, self._direct = blobs, desk, direct
        self._staged, self._enter, self._room = staged, enter, room

    def begin(self, person: str, pack: str, size: int) -> tuple[Ticket, int | None]:
        """Begin, or go on with, a pack: the upload and what is held of it; None: the pack is there.

        Raises:
            UsageError: it is too large, or this person has too much under way.
            NoSpace: the disk of the server is too full.
        """
        ticket = ticket_for(person, pack, size)
        if is_there(self.blobs, pack):
            return ticket, None
        held = self.desk.held(ticket)
        if not held:
            self.desk.sweep()
            self._check_room(ticket)
        return ticket, held

    def open(self, ticket: Ticket, offset: int) -> Part:
        """Begin to take bytes from ``offset``, where what is held ends; the first ones as :meth:`begin` does.

        Raises:
            LostRace: it ends elsewhere. UsageError, NoSpace: as from :meth:`begin`.
        """
        if not offset and not self.desk.held(ticket):
            self._check_room(ticket)  # whoever makes up an id has begun nothing
        return self.desk.open(ticket, offset)

    def offer(self, ticket: Ticket, held: int | None) -> tuple[str, ...]:
        """Addresses at which the object store takes the parts of a pack of which nothing came yet; often none."""
        return self._direct.offer(ticket) if self._direct is not None and held == 0 else ()

    def _check_room(self, ticket: Ticket) -> None:
        if self.desk.announced(ticket.person) + ticket.size > MOST_OPEN:
            raise UsageError(
                f"more than {MOST_OPEN:,} bytes would be under way", hint="finish the uploads that you began"
            )
        if self._room is not None:
            with storage_errors(self._room):
                free = shutil.disk_usage(self._room).free
            if free < ticket.size + RESERVE:
                raise NoSpace(
                    f"the server has {free:,} bytes left, and this pack has {ticket.size:,}",
                    hint="ask whoever runs the server for more room",
                )

    def finish(self, ticket: Ticket, etags: Sequence[str] = ()) -> None:
        """Let the pack appear, if it is what its name says. Repeating it does no harm. ``etags``: see :meth:`offer`.

        Raises:
            UsageError: bytes are missing, or it is no pack. LostRace: nothing is here, perhaps no more.
            ConflictError: its bytes do not hash to its name; it has to be brought again.
        """
        if is_there(self.blobs, ticket.pack):
            self._drop(ticket)
            return
        folder = self._staged()
        try:
            straight = self._direct.fetched(ticket, etags, folder) if self._direct is not None else None
            file, source = straight or (self.desk.whole(ticket, folder), "")
            self._publish(ticket, file, source)
        except LeptonError:
            if not is_there(self.blobs, ticket.pack):  # else another finished the same upload at this moment
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._drop(ticket)

    def _drop(self, ticket: Ticket) -> None:
        if self._direct is not None:
            self._direct.drop(ticket)
        self.desk.drop(ticket)

    def _publish(self, ticket: Ticket, file: Path, source: str) -> None:
        """``source``: how the store calls what came straight, of which ``file`` is a copy."""
        footer, objects = checked(file, ticket, self.desk)
        name = blob_name(ticket.pack)
        if self._direct is not None and source:
            self._direct.settle(source, name)  # it is there then, and putting it enters it in the list
        self.blobs.put(name, file)
        info = self.blobs.info(name)
        self._enter(PackInfo(ticket.pack, info.size, objects, info.written_at), footer)


def checked(file: Path, ticket: Ticket, desk: Desk) -> tuple[bytes, int]:
    """The footer of a pack, and how many objects it lists; the file's bytes hash to its name.

    Raises:
        UsageError: it is no pack. ConflictError: it is not the one that was announced.
    """
    with storage_errors(file):
        digest = blake3(max_threads=blake3.AUTO).update_mmap(file).hexdigest()
    if digest != ticket.pack:
        desk.drop(ticket)
        raise ConflictError(
            "the bytes that came do not hash to the name of the pack",
            hint="bring it again, from the beginning",
        )
    alone = OnePack(file, ticket.size)
    try:
        footer = read_footer(alone, ticket.pack, ticket.size)
    except Damaged as problem:
        desk.drop(ticket)
        raise UsageError(f"these bytes are no pack: {problem.message}") from problem
    _, objects, _ = unpack_trailer(alone.get("", -TRAILER_SIZE, TRAILER_SIZE))
    return footer, objects


class OnePack:
    """A file as the only blob there is, whatever it is asked for."""

    def __init__(self, file: Path, size: int) -> None:
        self._file, self._size = file, size

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        start = offset if offset >= 0 else self._size + offset
        with storage_errors(self._file), self._file.open("rb") as file:
            file.seek(max(0, start))
            data = file.read(length)
        if len(data) != length or start < 0:
            raise Damaged(f"{name} is cut")
        return data

    def info(self, name: str) -> BlobInfo:
        """Its size."""
        return BlobInfo(name, self._size, 0.0)

    def put(self, name: str, source: Path) -> None:
        """Nothing is put here.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{source} cannot become {name}: this is one file, to be read")

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Nothing to list by name, whatever it begins with."""
        nothing: tuple[BlobInfo, ...] = ()
        return (info for info in nothing if info.name.startswith(prefix))

    def delete(self, names: Iterable[str]) -> None:
        """Nothing is deleted here."""
