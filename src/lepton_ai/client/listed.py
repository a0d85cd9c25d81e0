"""The list of a server's packs as it was last seen: the next time only what is new travels."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lepton_ai import wire
from lepton_ai.client.connection import Connection
from lepton_ai.decodable import ready
from lepton_ai.store.durable import storage_errors, write_file


class Known(msgspec.Struct, frozen=True):
    """Packs, oldest first, and where the list goes on."""

    packs: tuple[wire.Pack, ...] = ()
    last: str | None = None

    def and_then(self, page: wire.Packs) -> Known:
        """With the page that follows."""
        return Known((*self.packs, *page.packs), page.last or self.last)


class Listed:
    """What is known, in a file that may be lost."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Known:
        """What was written, if it can be read."""
        with storage_errors(self._file):
            try:
                return msgspec.msgpack.decode(self._file.read_bytes(), type=ready(Known))
            except (FileNotFoundError, msgspec.DecodeError):
                return Known()

    def write(self, known: Known) -> None:
        """Keep it."""
        write_file(self._file, msgspec.msgpack.encode(known), 0o600)


class Listing:
    """The packs of the repository at ``path`` of a server; ``file`` remembers them from one process to the next."""

    def __init__(self, connection: Connection, path: str, file: Listed | None = None) -> None:
        self._connection, self._path, self._file = connection, path, file
        self._known = Known()

    def packs(self) -> tuple[wire.Pack, ...]:
        """The packs, oldest first; of those that are known from before none travels again."""
        known = self._known
        if known.last is None and self._file is not None:
            known = self._file.read()
        fresh, gone = self._going_on(known)
        if gone:
            fresh, _ = self._going_on(Known())
        if self._file is not None and fresh != known:
            self._file.write(fresh)
        self._known = fresh
        return fresh.packs

    def _going_on(self, known: Known) -> tuple[Known, bool]:
        """What is known and what came since, as far as nothing of it has gone; and whether something has."""
        page, fresh = self._page(known.last), known
        while not (page.gone and known.last is not None):
            fresh = fresh.and_then(page)
            if page.next is None:
                return fresh, False
            page = self._page(page.next)
        return fresh, True

    def _page(self, after: str | None) -> wire.Packs:
        query = {"after": after} if after else None
        path = f"{self._path}/packs"
        page: wire.Packs = self._connection.call("GET", path, None, wire.Packs, query=query, packed=True)
        return page
