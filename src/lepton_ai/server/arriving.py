"""Files that come as parts of a request or by uploads, laid out in a folder as their version will have them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.errors import ConflictError, UsageError
from lepton_ai.history import paths
from lepton_ai.server.asked import Asked
from lepton_ai.server.shapes import NewFile
from lepton_ai.server.uploads.contract import Desk, Ticket, read_ticket
from lepton_ai.store.durable import storage_errors


@contextmanager
def arrived(asked: Asked, files: Sequence[NewFile]) -> Iterator[Path]:
    """A folder with the files, for the time of a block; uploads are forgotten when it succeeds.

    Raises:
        UsageError: a path cannot be, a file has no content, or an upload is not complete.
        ConflictError: an upload does not hash to what it was announced as.
    """
    if not files:
        raise UsageError("a version has at least one file", hint="give files")
    trouble = paths.trouble([(file.path, None) for file in files])
    if trouble:
        raise UsageError(trouble)
    opened = asked.opened
    tickets: list[Ticket] = []
    with opened.home.staged() as folder:
        target, scratch = folder / "files", folder / "scratch"
        target.mkdir()
        scratch.mkdir()
        for file in files:
            place = target / file.path
            with storage_errors(place):
                place.parent.mkdir(parents=True, exist_ok=True)
            if (file.content is None) == (not file.upload):
                raise UsageError(f"{file.path!r} comes with its content or with an upload, one of them")
            if file.content is not None:
                _write(place, file.content)
            else:
                ticket = read_ticket(file.upload, asked.caller.user)
                tickets.append(ticket)
                _lay(opened.taking.desk, ticket, place, scratch)
            if file.executable:
                place.chmod(0o755)
        yield target
    for ticket in tickets:
        opened.taking.desk.drop(ticket)


def _lay(desk: Desk, ticket: Ticket, place: Path, scratch: Path) -> None:
    """Put an uploaded file at its place; it hashes to the name that it was announced under."""
    whole = desk.whole(ticket, scratch)
    with storage_errors(place, ticket.size):
        with whole.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != ticket.pack:
            desk.drop(ticket)
            raise ConflictError(
                "the bytes that came do not hash to the SHA-256 that was announced",
                hint="bring the file again",
            )
        try:
            os.link(whole, place)
        except OSError:  # another file system, or one without links
            shutil.copyfile(whole, place)


def _write(place: Path, content: bytes) -> None:
    with storage_errors(place, len(content)):
        place.write_bytes(content)
