"""Unfinished packs in a folder that all servers share, beside the packs: a finished one only has to be renamed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_ai.errors import LostRace, UsageError
from lepton_ai.server.uploads.contract import EXPIRES, Ticket, parse
from lepton_ai.store.durable import make_folder, storage_errors


class FolderDesk:
    """Each upload is a file that grows at its end. Whoever appends locks it for one write, so that many may try.

    Bytes count as held when the system has them, which outlives a killed server; a machine that loses its power may
    lose some, or leave a hole: then the hash of the finished pack is wrong, and it is brought again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def held(self, ticket: Ticket) -> int:
        """How many bytes there are."""
        with storage_errors(self._folder):
            try:
                return self._path(ticket).stat().st_size
            except FileNotFoundError:
                return 0

    def open(self, ticket: Ticket, offset: int) -> FolderPart:
        """Begin to take bytes from ``offset``."""
        with storage_errors(self._folder):
            make_folder(self._folder)
        return FolderPart(self._path(ticket), ticket, offset)

    def whole(self, ticket: Ticket, folder: Path) -> Path:  # noqa: ARG002  (nothing has to be gathered)
        """The file itself."""
        held = self.held(ticket)
        if held != ticket.size:
            raise incomplete(ticket, held)
        return self._path(ticket)

    def drop(self, ticket: Ticket) -> None:
        """Forget the upload."""
        with storage_errors(self._folder):
            self._path(ticket).unlink(missing_ok=True)

    def announced(self, person: str) -> int:
        """Bytes of all uploads of one person, as announced."""
        return sum(ticket.size for ticket, _ in self._all() if ticket.person == person)

    def sweep(self) -> None:
        """Forget uploads that were abandoned."""
        for ticket, last in self._all():
            if time.time() - last > EXPIRES:
                self.drop(ticket)

    def _all(self) -> Iterator[tuple[Ticket, float]]:
        """Uploads, and when their last byte came."""
        with storage_errors(self._folder):
            try:
                entries = list(os.scandir(self._folder))
            except FileNotFoundError:
                return
        for entry in entries:
            ticket = parse(entry.name)
            if ticket is not None:
                with suppress(FileNotFoundError):  # finished meanwhile
                    yield ticket, entry.stat().st_mtime

    def _path(self, ticket: Ticket) -> Path:
        return self._folder / ticket.id


class FolderPart:
    """Bytes that are arriving at the end of a file."""

    def __init__(self, path: Path, ticket: Ticket, offset: int) -> None:
        self._path, self._ticket, self._offset = path, ticket, offset
        with storage_errors(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._alone():
                self._check()
        except BaseException:
            os.close(self._file)
            raise

    def write(self, data: bytes) -> None:
        """Keep more of it."""
        if self._offset + len(data) > self._ticket.size:
            raise too_much(self._ticket)
        with storage_errors(self._path, len(data)), self._alone():
            self._check()
            view = memoryview(data)
            while view:
                written = os.pwrite(self._file, view, self._offset)
                self._offset, view = self._offset + written, view[written:]

    def close(self) -> int:
        """Keep what came."""
        os.close(self._file)
        return self._offset

    def _check(self) -> None:
        held = os.fstat(self._file).st_size
        if held != self._offset:
            raise elsewhere(held, self._offset)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """For the time of one write; who waits for the network holds nobody up."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def elsewhere(held: int, offset: int) -> LostRace:
    """The error of bytes that do not follow those that are held."""
    return LostRace(
        f"the server holds {held:,} bytes of this pack, and these begin at {offset:,}",
        hint="ask for the upload again, and send what comes after what is held",
    )


def too_much(ticket: Ticket) -> UsageError:
    """The error of bytes after the end."""
    return UsageError(f"more bytes come than the {ticket.size:,} that were announced")


def incomplete(ticket: Ticket, held: int) -> UsageError | LostRace:
    """The error of an upload that is finished too early; or twice, by the same person: the bytes are on their way."""
    if not held:
        return LostRace(
            "nothing of this pack is here: it has not come, or is just finished by another request",
            hint="begin the upload again: it tells what is there",
        )
    return UsageError(f"{held:,} of {ticket.size:,} bytes are here", hint="send the rest, then finish")
