"""The list of a server's packs as it was last seen: the next time only what is new travels."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lepton_ai import wire
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
