"""Where an HDF5 file says of each filtered chunk how long it is and where, and which checksums cover that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file import btree_v1, btree_v2, headers, messages
from lepton_ai.formats.hdf5_file.access import Access
from lepton_ai.formats.hdf5_file.chunk_arrays import Run, extensible_array, fixed_array
from lepton_ai.formats.hdf5_file.headers import Message, read_header


class Slot(NamedTuple):
    """A chunk at ``address``: the addresses of the fields that say so, and that say its size in ``width`` bytes."""

    address: int
    address_at: int
    sizes_at: tuple[int, ...]
    width: int


class Block(NamedTuple):
    """Bytes ``begin … end`` of metadata, whose checksum follows."""

    begin: int
    end: int


class Index(NamedTuple):
    """All slots of a dataset by the address of their chunk, and all blocks that its metadata are in."""

    slots: dict[int, Slot]
    blocks: list[Block]


def index_of(access: Access, address: int) -> Index:
    """The index of the dataset whose header is at ``address``; without slots when its chunks are not filtered.

    Raises:
        Malformed: it is not what it was when it was read as a dataset.
    """
    header = read_header(access, address)
    blocks = list(_header_blocks(access, address, header))
    layout = next((message for message in header if message.kind == headers.LAYOUT), None)
    filtered = any(message.kind == headers.FILTERS for message in header)
    if layout is None:
        raise Malformed("a dataset without a layout")
    place = messages.read_place(messages.cursor_of(access, layout), layout.address)
    if place.kind != messages.CHUNKED or place.address is None or not filtered:
        return Index({}, blocks)
    found = {slot.address: slot for slot in _slots(access, layout, place, place.address, blocks)}
    return Index(found, blocks)


def _slots(
    access: Access, layout: Message, place: messages.Place, root: int, blocks: list[Block]
) -> Iterator[Slot]:
    rank = len(place.chunk) - 1
    if place.lister == messages.BTREE_V1:
        return _in_tree_1(access, root, 16 + 8 * rank)
    if place.lister == messages.SINGLE:
        at = layout.address + messages.single_head(layout.data)
        return iter([Slot(root, at + access.length_size + 4, (at,), access.length_size)])
    if place.lister == messages.BTREE_V2:
        return _in_tree_2(access, root, rank, blocks)
    runs = (
        fixed_array(access, root) if place.lister == messages.FIXED_ARRAY else extensible_array(access, root)
    )
    return _in_runs(access, runs, blocks)


def _in_tree_1(access: Access, root: int, key_size: int) -> Iterator[Slot]:
    """A chunk's size is in its key, and again in those that lead to it because it is the first one below them."""
    above: dict[bytes, list[int]] = {}
    for entry in btree_v1.entries(access, root, btree_v1.CHUNKS, key_size):
        if entry.level:
            above.setdefault(entry.key[8:], []).append(entry.place)
        else:
            sizes = (entry.place, *above.get(entry.key[8:], ()))
            yield Slot(entry.child, entry.place + key_size, sizes, 4)


def _in_tree_2(access: Access, root: int, rank: int, blocks: list[Block]) -> Iterator[Slot]:
    for node in btree_v2.nodes(access, root, btree_v2.FILTERED_CHUNKS):
        blocks.append(Block(node.begin, node.end))
        place = node.place
        for record in node.records:
            width = len(record) - access.address_size - 4 - 8 * rank
            child = int.from_bytes(record[: access.address_size], "little")
            yield Slot(child, place, (place + access.address_size,), width)
            place += len(record)


def _in_runs(access: Access, runs: Iterator[Run], blocks: list[Block]) -> Iterator[Slot]:
    wide = access.address_size
    for run in runs:
        blocks.append(Block(run.begin, run.end))
        for at in range(0, len(run.data), run.width):
            child = int.from_bytes(run.data[at : at + wide], "little")
            if child != (1 << 8 * wide) - 1:
                place = run.place + at
                yield Slot(child, place, (place + wide,), run.width - wide - 4)


def _header_blocks(access: Access, address: int, header: list[Message]) -> Iterator[Block]:
    """The blocks of an object header; those of version 1 have no checksum."""
    if access.read(address, 4) != b"OHDR":
        return
    flags = access.read(address + 5, 1)[0]
    extra = (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(access.read(address + 6 + extra, width), "little")
    yield Block(address, address + 6 + extra + width + size)
    for message in header:
        if message.kind == headers.CONTINUATION:
            cursor = messages.cursor_of(access, message)
            begin, length = cursor.address(), cursor.length()
            if begin is not None:
                yield Block(begin, begin + length - 4)
