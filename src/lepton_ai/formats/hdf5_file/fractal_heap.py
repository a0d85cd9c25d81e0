"""Fractal heaps: where new groups with many links keep them.

A heap is one address space, cut into blocks of doubling size (the doubling table); an object's id says where
it sits in that space. Blocks are read when an object of theirs is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file.access import Cursor

if TYPE_CHECKING:
    from lepton_ai.formats.hdf5_file.access import Access

MANAGED = 0
MOST_NESTING = 16
MOST_BITS = 64
MOST_BLOCK = 16 << 20
MOST_LINK = 4096 + 64
"""Bytes of a link: the longest name that a tensor may have, and what stands beside it. A small file can hold a long
object and ask for it again and again."""


class FractalHeap:
    """The objects of the heap whose header is at ``address``."""

    def __init__(self, access: Access, address: int) -> None:
        self._access = access
        wide, lengths = access.address_size, access.length_size
        head = access.cursor(address, 22 + 12 * lengths + 3 * wide)
        head.expect(b"FRHP", 0)
        head.skip(2)
        if head.number(2):
            raise Malformed("a heap of names that is compressed")
        head.skip(1)
        largest_object = head.number(4)
        head.skip(10 * lengths + 2 * wide)
        self._width = head.number(2)
        self._smallest, self._largest = head.length(), head.length()
        bits = head.number(2)
        head.skip(2)
        self._root, self._rows = head.address(), head.number(2)
        if not (_power_of_2(self._width) and _power_of_2(self._smallest) and _power_of_2(self._largest)):
            raise Malformed("a heap's blocks have odd sizes")
        if self._largest > MOST_BLOCK or self._smallest > self._largest or bits > MOST_BITS:
            raise Malformed("a heap's blocks are too large")
        self._offset_width = (bits + 7) // 8
        widths = (self._largest.bit_length() + 6) // 8, (largest_object.bit_length() + 7) // 8
        self._length_width = min(widths)
        self._blocks: dict[int, bytes] = {}

    def read(self, identity: bytes) -> bytes | None:
        """The object with this id; None for a huge one (a name of many kilobytes)."""
        cursor = Cursor(identity)
        if cursor.number(1) >> 4 & 3 != MANAGED:
            return None
        offset, length = cursor.number(self._offset_width), cursor.number(self._length_width)
        if length > MOST_LINK:
            return None
        block, start = self._find(offset)
        if start + length > len(block):
            raise Malformed("a heap's object does not fit into its block")
        return block[start : start + length]

    def _find(self, offset: int) -> tuple[bytes, int]:
        """The direct block that holds the heap's byte ``offset``, and that byte's place in it."""
        place, rows, size = self._root, self._rows, self._smallest
        for _ in range(MOST_NESTING):
            if place is None:
                break
            if rows == 0:
                return self._direct(place, size), offset
            row = (offset // (self._width * self._smallest)).bit_length()
            size = self._smallest << max(row - 1, 0)
            if row >= rows:
                break
            offset -= self._width * size if row else 0
            column, offset = divmod(offset, size)
            place = self._child(place, row * self._width + column)
            rows = 0 if size <= self._largest else (size // (self._smallest * self._width)).bit_length()
        raise Malformed("a heap has no object at the place that a link names")

    def _direct(self, place: int, size: int) -> bytes:
        if place not in self._blocks:
            block = self._access.read(place, size)
            if block[:5] != b"FHDB\0":
                raise Malformed(f"no block of a heap at {place}")
            self._blocks[place] = block
        return self._blocks[place]

    def _child(self, place: int, number: int) -> int | None:
        """Address of child ``number`` of the indirect block at ``place``.

        Entries of direct and indirect blocks are equally wide: the heap is not compressed.
        """
        access = self._access
        if access.read(place, 5) != b"FHIB\0":
            raise Malformed(f"no block of blocks of a heap at {place}")
        entries = place + 5 + access.address_size + self._offset_width
        return access.cursor(entries + number * access.address_size, access.address_size).address()


def _power_of_2(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
