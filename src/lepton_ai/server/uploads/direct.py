"""Packs that clients bring straight to the object store, by presigned parts.

A pack is offered this way once. Whoever is cut off goes on through the server, which keeps every byte that came.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from lepton_ai.errors import LostRace, NotFound, Unsupported, UsageError
from lepton_ai.server.uploads.contract import PREFIX, Ticket
from lepton_ai.store.contract import Blobs, Presigning
from lepton_ai.store.durable import storage_errors
from lepton_ai.wire import PART_SIZE

SMALLEST = 2 * PART_SIZE
"""Bytes of a pack for which the additional questions are worth it."""
VALID = 6 * 3600
"""Seconds for which the addresses are good."""
_STEP = 8 << 20
_LONGEST_ID = 4096


class Direct:
    """Uploads into ``blobs`` (one repository's), which ``keeper`` knows below ``folder``; ``scratch`` is ours.

    What is under way is remembered in the store itself, so that any server can go on with it.
    """

    def __init__(self, blobs: Blobs, keeper: Presigning, folder: str, scratch: Path) -> None:
        self._blobs, self._keeper, self._folder, self._scratch = blobs, keeper, folder, scratch

    def offer(self, ticket: Ticket) -> tuple[str, ...]:
        """An address for each part, in order; none when the pack should come through the server."""
        if ticket.size < SMALLEST or self._begun(ticket) is not None:
            return ()
        try:
            begun = self._keeper.presign_parts(self._there(ticket), -(-ticket.size // PART_SIZE), VALID)
        except Unsupported:
            return ()
        source = self._scratch / f"direct-{secrets.token_hex(8)}"
        with storage_errors(source):
            source.write_bytes(begun.upload.encode())
        self._blobs.put(_mark(ticket), source)
        if self._begun(ticket) != begun.upload:  # another began it at this moment
            self._keeper.abandon_parts(self._there(ticket), begun.upload)
            return ()
        return begun.addresses

    def fetched(self, ticket: Ticket, etags: Sequence[str], folder: Path) -> Path | None:
        """The pack that came straight, as a file in ``folder``; None: it did not come this way.

        Raises:
            LostRace: it is not whole; it has to be brought again.
        """
        upload = self._begun(ticket)
        if upload is None or not etags:
            return None
        try:
            self._keeper.finish_parts(self._there(ticket), upload, etags)
            size = self._blobs.info(_whole(ticket)).size
        except (NotFound, UsageError) as problem:
            raise self._not_whole(ticket, upload) from problem
        if size != ticket.size:
            raise self._not_whole(ticket, upload)
        target = folder / ticket.pack
        with storage_errors(target, size), target.open("wb") as file:
            for start in range(0, size, _STEP):
                file.write(self._blobs.get(_whole(ticket), start, min(_STEP, size - start)))
        return target

    def _not_whole(self, ticket: Ticket, upload: str) -> LostRace:
        self._keeper.abandon_parts(self._there(ticket), upload)
        self._blobs.delete([_whole(ticket)])
        return LostRace("the object store does not have the whole pack", hint="bring it through the server")

    def settle(self, ticket: Ticket, name: str) -> None:
        """Give what came straight, and was checked, the name ``name``; nothing when it did not come this way."""
        try:
            self._keeper.adopt(self._there(ticket), f"{self._folder}/{name}")
        except NotFound:
            return

    def drop(self, ticket: Ticket) -> None:
        """Forget the parts that came."""
        upload = self._begun(ticket)
        if upload is not None:
            self._keeper.abandon_parts(self._there(ticket), upload)

    def _begun(self, ticket: Ticket) -> str | None:
        """The store's name for the upload, if it was begun."""
        try:
            size = min(self._blobs.info(_mark(ticket)).size, _LONGEST_ID)
            return self._blobs.get(_mark(ticket), 0, size).decode()
        except NotFound:
            return None

    def _there(self, ticket: Ticket) -> str:
        return f"{self._folder}/{_whole(ticket)}"


def _whole(ticket: Ticket) -> str:
    return f"{PREFIX}/{ticket.id}/whole"


def _mark(ticket: Ticket) -> str:
    return f"{PREFIX}/{ticket.id}/begun"
