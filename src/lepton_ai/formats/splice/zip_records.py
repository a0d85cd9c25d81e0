"""The records of a zip archive around its members, changed where a member's checksum, size or place does.

The archive has been read by :mod:`lepton_ai.formats.zip_members`: what is said twice in it is the same.

Source: PKWARE APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from lepton_ai.formats.contract import BytesSource, Malformed, Source
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.zip_members import Member, directory

NARROW = 0xFFFFFFFF
LOCAL, CENTRAL, END, END64, LOCATOR = 30, 46, 22, 56, 20
DESCRIBED = 1 << 3
ZIP64, PADDING = 1, 0x4246
"""Kinds of extra fields: sizes of 64 bits, and what torch puts before a member so that it begins at a round place."""

SIGNATURE = b"PK\x07\x08"
ALIGNMENT = 64


class TooLarge(Exception):
    """A number that has to be written where there is room for 32 bits only."""


class Now(msgspec.Struct):
    """What a member is to be: its checksum, its sizes, and where its local header begins."""

    crc: int
    packed: int
    size: int
    header: int


class Records:
    """The records of the archive ``source``."""

    def __init__(self, source: Source, members: tuple[Member, ...]) -> None:
        self._source = source
        self.start, length, _ = directory(source)
        self._central = source.read(self.start, length)
        self._tail = source.read(self.start + length, source.size - self.start - length)
        places = sorted(member.header for member in members)
        self._ends = dict(zip(places, [*places[1:], self.start], strict=True))

    def descriptor(self, member: Member) -> bytes:
        """What follows the bytes of ``member`` to describe them; empty: nothing does.

        Raises:
            Malformed: something should, and does not.
        """
        flags = int.from_bytes(self._source.read(member.header + 6, 2), "little")
        if not flags & DESCRIBED:
            return b""
        behind = member.offset + member.packed
        found = self._source.read(behind, min(24, self._ends[member.header] - behind))
        for wide in ("Q", "I"):
            for mark in (SIGNATURE, b""):
                record = mark + struct.pack(f"<I2{wide}", member.crc, member.packed, member.size)
                if found.startswith(record):
                    return record
        raise Malformed(f"member {member.name!r} is not described where it ends")

    def local(self, member: Member, now: Now, shift: int) -> bytes:
        """The local header, when the member's bytes move by ``shift`` before it says anything of it itself.

        Raises:
            TooLarge: there is no room for a number.
        """
        head = bytearray(self._source.read(member.header, member.offset - member.header))
        name = int.from_bytes(head[26:28], "little")
        if int.from_bytes(head[14:18], "little") == member.crc:
            head[14:18] = now.crc.to_bytes(4, "little")
        begin, fields = LOCAL + name, (22, 18)
        if _told(head, fields, begin, len(head)) == (member.size, member.packed):
            _widen(head, fields, begin, len(head), (now.size, now.packed))
        return bytes(_aligned(head, LOCAL + name, shift))

    def described(self, member: Member, now: Now) -> bytes:
        """The record behind the member's bytes."""
        old = self.descriptor(member)
        if not old:
            return b""
        mark = SIGNATURE if len(old) in {16, 24} else b""
        wide = "Q" if len(old) >= 20 else "I"
        if wide == "I" and max(now.packed, now.size) >= NARROW:
            raise TooLarge
        return mark + struct.pack(f"<I2{wide}", now.crc, now.packed, now.size)

    def directory(self, now: dict[int, Now], shift: int) -> list[Edit]:
        """Edits of the directory and of what follows it, when it moves by ``shift``; members by their old headers."""
        central = bytearray(self._central)
        for place in self._entries():
            name, extra = struct.unpack_from("<2H", central, place + 28)
            begin = place + CENTRAL + name
            fields = place + 24, place + 20, place + 42
            member = now.get(_told(central, fields, begin, begin + extra)[2])
            if member is not None:
                central[place + 16 : place + 20] = member.crc.to_bytes(4, "little")
                _widen(central, fields, begin, begin + extra, (member.size, member.packed, member.header))
        edits = (
            [Edit(self.start, len(central), BytesSource(bytes(central)))] if central != self._central else []
        )
        if shift:
            place = self.start + len(central)
            edits.append(Edit(place, len(self._tail), BytesSource(self._moved(shift))))
        return edits

    def _entries(self) -> Iterator[int]:
        place = 0
        while place < len(self._central):
            yield place
            place += CENTRAL + sum(struct.unpack_from("<3H", self._central, place + 28))

    def _moved(self, shift: int) -> bytes:
        """The end records of a directory that moves."""
        tail = bytearray(self._tail)
        end = 0
        if tail.startswith(b"PK\x06\x06"):
            start = struct.unpack_from("<Q", tail, 48)[0]
            struct.pack_into("<Q", tail, 48, start + shift)
            end = len(tail) - LOCATOR - END - int.from_bytes(self._comment(), "little")
            place = struct.unpack_from("<Q", tail, end + 8)[0]
            struct.pack_into("<Q", tail, end + 8, place + shift)
            end += LOCATOR
        start = struct.unpack_from("<I", tail, end + 16)[0]
        if start != NARROW:
            if start + shift >= NARROW:
                raise TooLarge
            struct.pack_into("<I", tail, end + 16, start + shift)
        return bytes(tail)

    def _comment(self) -> bytes:
        """Two bytes that say how long the archive's comment is."""
        at = self._tail.rfind(b"PK\x05\x06")
        return self._tail[at + 20 : at + 22]


def _widen(record: bytearray, fields: tuple[int, ...], begin: int, end: int, values: tuple[int, ...]) -> None:
    """Write ``values`` into the fields of 32 bits at ``fields``, or where the zip64 extra stands in for them."""
    wide = _wide_place(record, begin, end)
    for field, value in zip(fields, values, strict=True):
        if int.from_bytes(record[field : field + 4], "little") == NARROW:
            struct.pack_into("<Q", record, wide, value)
            wide += 8
        elif value >= NARROW:
            raise TooLarge
        else:
            struct.pack_into("<I", record, field, value)


def _told(record: bytearray, fields: tuple[int, ...], begin: int, end: int) -> tuple[int, ...]:
    """The numbers in the fields of 32 bits at ``fields``, or in the zip64 extra that stands in for them."""
    values, wide = [], _wide_place(record, begin, end)
    for field in fields:
        value = int.from_bytes(record[field : field + 4], "little")
        if value == NARROW:
            value, wide = int.from_bytes(record[wide : wide + 8], "little"), wide + 8
        values.append(value)
    return tuple(values)


def _wide_place(record: bytearray, begin: int, end: int) -> int:
    """Where the contents of the zip64 extra begin; anywhere when there is none, for nothing asks for them then."""
    for place, kind in _extras(record, begin, end):
        if kind == ZIP64:
            return place + 4
    return end


def _extras(record: bytearray, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Place and kind of each extra field."""
    while begin + 4 <= end:
        kind, length = struct.unpack_from("<2H", record, begin)
        yield begin, kind
        begin += 4 + length


def _aligned(head: bytearray, begin: int, shift: int) -> bytearray:
    """A local header whose member begins at as round a place as before: torch's padding grows or shrinks."""
    for place, kind in _extras(head, begin, len(head)):
        length = int.from_bytes(head[place + 2 : place + 4], "little")
        if kind == PADDING and shift % ALIGNMENT and place + 4 + length <= len(head):
            more = -shift % ALIGNMENT
            if length >= ALIGNMENT - more:
                more -= ALIGNMENT
            new = length + more
            body = b"Z" * new
            head[place : place + 4 + length] = struct.pack("<2H", PADDING, new) + body
            struct.pack_into("<H", head, 28, len(head) - begin)
            break
    return head
