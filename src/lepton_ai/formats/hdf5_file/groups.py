"""The hard links of a group: kept in a symbol table (old), in its header, or in a heap with an index (new).

Soft and external links name other places and own no bytes; they are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file import btree_v1, btree_v2, headers
from lepton_ai.formats.hdf5_file.access import Access, Cursor
from lepton_ai.formats.hdf5_file.fractal_heap import FractalHeap
from lepton_ai.formats.hdf5_file.heaps import local_heap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.headers import Message

MOST_NAME = 4096
SOFT = 2
"""Cache type of a symbol table entry that is a soft link."""


def links(access: Access, messages: list[Message]) -> Iterator[tuple[bytes, int]]:
    """(name, address of the object header) of every hard link of the group that ``messages`` describe."""
    for message in messages:
        cursor = Cursor(message.data, access.address_size, access.length_size)
        if message.kind == headers.SYMBOL_TABLE:
            yield from _symbol_table(access, cursor)
        elif message.kind == headers.LINK_INFO:
            yield from _heap_links(access, cursor)
        elif message.kind == headers.LINK:
            yield from _link(cursor)


def _symbol_table(access: Access, cursor: Cursor) -> Iterator[tuple[bytes, int]]:
    tree, heap = cursor.address(), cursor.address()
    if tree is None or heap is None:
        raise Malformed("a group has no table")
    names = local_heap(access, heap)
    for _, address in btree_v1.leaves(access, tree, btree_v1.GROUP, access.length_size):
        access.visit("symbol table", address)
        head = access.cursor(address, 8)
        head.expect(b"SNOD", 1)
        head.skip(1)
        count = head.number(2)
        entries = access.cursor(address + 8, count * (access.length_size + access.address_size + 24))
        for _ in range(count):
            name, target = entries.length(), entries.address()
            kind = entries.number(4)
            entries.skip(20)
            if kind != SOFT and target is not None:
                names.place = name
                yield names.name(MOST_NAME), target


def _heap_links(access: Access, cursor: Cursor) -> Iterator[tuple[bytes, int]]:
    cursor.skip(1)
    if cursor.number(1) & 1:
        cursor.skip(8)
    place, index = cursor.address(), cursor.address()
    if place is None or index is None:
        return
    heap = FractalHeap(access, place)
    for record in btree_v2.records(access, index, btree_v2.LINK_NAMES):
        data = heap.read(record[4:])
        if data is not None:
            yield from _link(Cursor(data, access.address_size, access.length_size))


def _link(cursor: Cursor) -> Iterator[tuple[bytes, int]]:
    """The link of a link message, if it is a hard one."""
    if cursor.number(1) != 1:
        raise Malformed("a link of an unknown version")
    flags = cursor.number(1)
    kind = cursor.number(1) if flags & 0x08 else 0
    cursor.skip((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
    length = cursor.number(1 << (flags & 3))
    name = cursor.take(length)
    if kind == 0:
        target = cursor.address()
        if target is not None:
            yield name, target
