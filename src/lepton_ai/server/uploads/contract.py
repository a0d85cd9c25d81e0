"""What bringing a pack is, whoever keeps its bytes meanwhile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import msgspec
from blake3 import blake3

from lepton_ai.errors import NotFound, UsageError

LARGEST = 16 << 30
"""Bytes of the largest pack that is taken."""
MOST_OPEN = 256 << 30
"""Bytes that one person may have under way in one repository, as announced."""
EXPIRES = 3 * 86400.0
"""Seconds after its last byte at which an upload that nobody finishes is forgotten."""
PREFIX = "uploads"
_ID = re.compile(r"([0-9a-f]{64})-([1-9][0-9]{0,15})-([0-9a-f]{16})")


class Ticket(msgspec.Struct, frozen=True):
    """An upload: a pack of so many bytes from one person. Its id says all of it, so no server has to remember any."""

    pack: str
    size: int
    person: str

    @property
    def id(self) -> str:
        """How the upload is called in addresses."""
        return f"{self.pack}-{self.size}-{self.person}"


class Part(Protocol):
    """A stretch of bytes that is arriving."""

    def write(self, data: bytes) -> None:
        """Keep more of it.

        Raises:
            LostRace: somebody else brought these bytes meanwhile.
        """

    def close(self) -> int:
        """Keep what came; how much there is from the beginning."""


class Desk(Protocol):
    """Where the bytes of one repository's unfinished packs lie. Methods may be called from any thread or server."""

    def held(self, ticket: Ticket) -> int:
        """How many bytes there are from the beginning."""

    def open(self, ticket: Ticket, offset: int) -> Part:
        """Begin to take bytes from ``offset``, where what is held ends.

        Raises:
            LostRace: it ends elsewhere.
        """

    def whole(self, ticket: Ticket, folder: Path) -> Path:
        """All bytes as one file that can be given away; ``folder`` is for what has to be gathered.

        Raises:
            UsageError: they are not all there.
        """

    def drop(self, ticket: Ticket) -> None:
        """Forget the upload."""

    def announced(self, person: str) -> int:
        """Bytes of all uploads of one person, as announced."""

    def sweep(self) -> None:
        """Forget uploads that were abandoned."""


def ticket_for(person: str, pack: str, size: int) -> Ticket:
    """The upload of a pack by a person; the same one whenever it is asked for.

    Raises:
        UsageError: there can be no such pack.
    """
    if len(pack) != 64 or not set(pack) <= set("0123456789abcdef"):
        raise UsageError(f"{pack[:80]!r} is no name of a pack: 64 hexadecimal digits")
    if not 0 < size <= LARGEST:
        raise UsageError(f"a pack of {size:,} bytes is not taken; the largest has {LARGEST:,}")
    return Ticket(pack, size, person_mark(person))


def read_ticket(id_: str, person: str) -> Ticket:
    """The upload that an id means.

    Raises:
        NotFound: it is none of this person's.
    """
    found = _ID.fullmatch(id_)
    if found is None or found.group(3) != person_mark(person) or int(found.group(2)) > LARGEST:
        raise NotFound("there is no such upload of yours", hint="begin it again: POST …/uploads")
    return Ticket(found.group(1), int(found.group(2)), found.group(3))


def parse(name: str) -> Ticket | None:
    """The upload that is called so."""
    found = _ID.fullmatch(name)
    return Ticket(found.group(1), int(found.group(2)), found.group(3)) if found else None


def person_mark(person: str) -> str:
    """16 hexadecimal digits for a person: two who bring the same pack do not spoil each other's bytes."""
    return blake3(person.encode()).hexdigest(length=8)
