"""A walk over protobuf messages in a Source: where each field lies, without reading the large ones.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lepton_ai.formats.contract import Source

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; groups (3, 4) died before the formats that we read were born."""

MOST_FIELDS = 4_000_000
LONGEST_TEXT = 4096
LONGEST_HEAD = 20
"""Bytes of a tag and a number or a length at most."""

PIECE = 65536
CONTINUED = bytes(range(0x80, 0x100))


class Field(NamedTuple):
    """One field of a message.

    ``offset`` and ``length`` are its content's, ``value`` is that when it is a number (unsigned, as on the
    wire), ``start`` is where its tag begins. A run of ``times`` equal fields counts its tags as content.
    """

    number: int
    wire: int
    start: int
    offset: int
    length: int
    value: int = 0
    times: int = 1

    @property
    def end(self) -> int:
        """Where the next field begins."""
        return self.offset + self.length


class Wire:
    """A Source read as protobuf messages; how much is looked at altogether is bounded."""

    def __init__(self, source: Source) -> None:
        self._window = Window(source)
        self._left = MOST_FIELDS

    @property
    def size(self) -> int:
        """Length of the Source in bytes."""
        return self._window.size

    def fields(self, start: int, end: int, runs: Collection[int] = ()) -> Iterator[Field]:
        """The fields of the message that lies in ``start … end``, in order.

        Numbers with a tag each, one after the other, come as one field when their field is among ``runs``.

        Raises:
            Malformed: a tag, a number or a length that is not one, or more fields than anybody writes.
        """
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise Malformed(f"more than {MOST_FIELDS} fields")
            field = self._field(start, end)
            if field.number in runs and field.wire != BYTES:
                field = self._run(field, end)
            yield field
            start = field.end

    def _field(self, start: int, end: int) -> Field:
        buffer, first = self._window.ahead(start, LONGEST_HEAD)
        tag, at = varint(buffer, first)
        number, wire, value = tag >> 3, tag & 7, 0
        if wire == BYTES:
            length, at = varint(buffer, at)
        elif wire == VARINT:
            value, after = varint(buffer, at)
            length = after - at
        elif wire in {FIXED64, FIXED32}:
            length = 8 if wire == FIXED64 else 4
            value = int.from_bytes(buffer[at : at + length], "little")
        else:
            raise Malformed(f"wire type {wire} at byte {start}")
        offset = start + at - first
        if not 0 < number < 1 << 29 or offset + length > end:
            raise Malformed(f"field {number} at byte {start} does not end in its message")
        return Field(number, wire, start, offset, length, value)

    def _run(self, first: Field, end: int) -> Field:
        """The fields like ``first`` that follow it without a gap, ``first`` included."""
        tag = self._window.read(first.start, first.offset - first.start)
        if first.end + len(tag) > end or self._window.read(first.end, len(tag)) != tag:
            return first._replace(offset=first.start, length=first.end - first.start)
        fixed = {FIXED32: rb"[\s\S]{4}", FIXED64: rb"[\s\S]{8}"}
        element = re.escape(tag) + fixed.get(first.wire, rb"[\x80-\xff]{0,9}+[\x00-\x7f]")
        pattern, at, count, piece = re.compile(rb"(?>(?:" + element + rb")*)"), first.start, 0, 256
        # An atomic group, not a possessive "*+" over a group: Python before 3.11.4 cuts an element in half with that.
        while True:
            found = pattern.match(self._window.read(at, min(piece, end - at)))
            if found is None or not found.end():
                break
            at, piece = at + found.end(), min(4 * piece, PIECE)
            if first.wire == VARINT:
                count += len(found[0].translate(None, CONTINUED)) // 2
            else:
                count += found.end() // (len(tag) + first.length)
        return Field(first.number, first.wire, first.start, first.start, at - first.start, times=count)

    def text(self, field: Field) -> str:
        """A short string.

        Raises:
            Malformed: the field is no string, not UTF-8, or long.
        """
        if field.wire != BYTES or field.length > LONGEST_TEXT:
            raise Malformed(f"field {field.number} at byte {field.start} is not a short text")
        try:
            return self._window.read(field.offset, field.length).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a name that is not UTF-8 at byte {field.offset}") from error

    def data(self, field: Field, most: int) -> bytes:
        """The content of a field.

        Raises:
            Malformed: it has no bytes, or more than ``most``.
        """
        if field.wire != BYTES or field.length > most:
            raise Malformed(f"field {field.number} at byte {field.start} is not a short run of bytes")
        return self._window.read(field.offset, field.length)

    def numbers(self, field: Field, most: int) -> list[int]:
        """The varints of a repeated field, packed or not, as signed 64-bit numbers.

        Raises:
            Malformed: the field holds something else, or more than ``most`` of them.
        """
        if field.wire == VARINT:
            return [signed(field.value)]
        if field.wire != BYTES or field.length > 10 * most:
            raise Malformed(f"field {field.number} at byte {field.start} is no list of numbers")
        data, found, at = self._window.read(field.offset, field.length), [], 0
        while at < len(data):
            value, at = varint(data, at)
            found.append(signed(value))
        return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends."""
    if at < len(data) and data[at] < 0x80:  # nearly all of them
        return data[at], at + 1
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 and value < 1 << 64:
            return value, at
        shift += 7
    raise Malformed("a number that does not end")


def signed(value: int) -> int:
    """The 64-bit number in two's complement."""
    return value - (1 << 64) if value >> 63 else value
