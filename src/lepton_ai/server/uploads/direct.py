"""Packs that clients bring straight to the object store, by presigned parts.

A pack is offered this way once. Whoever is cut off goes on through the server, which keeps every byte that came.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lepton_ai.decodable import ready
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
_LONGEST_MARK = 8192


class Begun(msgspec.Struct, frozen=True):
    """An upload in the store: under which name it will appear, and what the store calls it until then.

    Nobody else's upload ever has that name: what was checked there stays what it is until it is given its own.
    """

    name: str
    upload: str


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
        name = f"{PREFIX}/{ticket.id}/whole-{secrets.token_hex(8)}"
        try:
            begun = self._keeper.presign_parts(self._there(name), -(-ticket.size // PART_SIZE), VALID)
        except Unsupported:
            return ()
        mine = Begun(name, begun.upload)
        source = self._scratch / f"direct-{secrets.token_hex(8)}"
        with storage_errors(source):
            source.write_bytes(msgspec.json.encode(mine))
        self._blobs.put(_mark(ticket), source)
        if self._begun(ticket) != mine:  # another began it at this moment
            self._keeper.abandon_parts(self._there(name), begun.upload)
            return ()
        return begun.addresses

    def fetched(self, ticket: Ticket, etags: Sequence[str], folder: Path) -> tuple[Path, str] | None:
        """The pack that came straight, as a file in ``folder``, and its name in the store; None: it did not so come.

        Raises:
            LostRace: it is not whole; it has to be brought again.
        """
        begun = self._begun(ticket)
        if begun is None or not etags:
            return None
        try:
            self._keeper.finish_parts(self._there(begun.name), begun.upload, etags)
            size = self._blobs.info(begun.name).size
        except (NotFound, UsageError) as problem:
            raise self._not_whole(begun) from problem
        if size != ticket.size:
            raise self._not_whole(begun)
        target = folder / ticket.pack
        with storage_errors(target, size), target.open("wb") as file:
            for start in range(0, size, _STEP):
                file.write(self._blobs.get(begun.name, start, min(_STEP, size - start)))
        return target, begun.name

    def _not_whole(self, begun: Begun) -> LostRace:
        self._keeper.abandon_parts(self._there(begun.name), begun.upload)
        self._blobs.delete([begun.name])
        return LostRace("the object store does not have the whole pack", hint="bring it through the server")

    def settle(self, source: str, name: str) -> None:
        """Give what came straight as ``source``, and was checked, the name ``name``."""
        with suppress(NotFound):  # another finished the same upload, and has it there
            self._keeper.adopt(self._there(source), self._there(name))

    def drop(self, ticket: Ticket) -> None:
        """Forget the parts that came."""
        begun = self._begun(ticket)
        if begun is not None:
            self._keeper.abandon_parts(self._there(begun.name), begun.upload)

    def _begun(self, ticket: Ticket) -> Begun | None:
        """What was begun, if anything."""
        try:
            size = min(self._blobs.info(_mark(ticket)).size, _LONGEST_MARK)
            return msgspec.json.decode(self._blobs.get(_mark(ticket), 0, size), type=ready(Begun))
        except NotFound:
            return None

    def _there(self, name: str) -> str:
        return f"{self._folder}/{name}"


def _mark(ticket: Ticket) -> str:
    return f"{PREFIX}/{ticket.id}/begun"
