"""Local heaps (names of old groups) and global heap collections (strings of attributes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from lepton_ai.formats.hdf5_file.access import Access, Cursor

MOST_GLOBAL_HEAP = 1 << 20
"""A collection is 4 KiB unless one of its objects is larger; a larger one holds nothing for us."""


def local_heap(access: Access, address: int) -> Cursor:
    """The data of the local heap at ``address``."""
    cursor = access.cursor(address, 8 + 2 * access.length_size + access.address_size)
    cursor.expect(b"HEAP", 0)
    cursor.skip(3)
    size = cursor.length()
    cursor.length()
    place = cursor.address()
    if place is None:
        raise Malformed("a local heap has no data")
    return access.cursor(place, size)


class GlobalHeaps:
    """The global heap collections of a file, each read once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._read: dict[int, dict[int, bytes]] = {}

    def object(self, address: int, index: int) -> bytes | None:
        """Object ``index`` of the collection at ``address``; None when it is not there."""
        if address not in self._read:
            self._read[address] = self._collection(address)
        return self._read[address].get(index)

    def _collection(self, address: int) -> dict[int, bytes]:
        access, found = self._access, {}
        head = access.cursor(address, 8 + access.length_size)
        head.expect(b"GCOL", 1)
        head.skip(3)
        size = head.length()
        if not head.place <= size <= MOST_GLOBAL_HEAP:
            return {}
        cursor = access.cursor(address + head.place, size - head.place)
        while cursor.left >= 8 + access.length_size:
            index = cursor.number(2)
            cursor.skip(6)
            length = cursor.length()
            if index == 0:  # the free space at the end
                break
            found[index] = cursor.take(length)
            cursor.skip(min(-length % 8, cursor.left))
        return found
