"""What a dataset's messages say: its dataspace, layout, filters and fill value."""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file.access import Access, Cursor, Unreadable
from lepton_ai.formats.hdf5_file.headers import OLD_FILL, Message

MOST_RANK = MOST_FILTERS = 32
COMPACT, CONTIGUOUS, CHUNKED = 0, 1, 2
BTREE_V1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_V2 = range(6)

FILTER_NAMES = {
    1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset",
    32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd",
    32026: "blosc2",
}  # fmt: skip


class Dataspace(NamedTuple):
    """Extents of a dataset, now and at most (None: unlimited)."""

    shape: tuple[int, ...]
    most: tuple[int | None, ...]


class Place(NamedTuple):
    """Where a dataset's bytes are: by address and size, or for chunks by an index of the kind ``lister``."""

    kind: int
    address: int | None
    size: int | None = None
    chunk: tuple[int, ...] = ()
    """Extents of a chunk, and behind them the size of an element in bytes."""
    lister: int = BTREE_V1
    single_size: int | None = None
    single_mask: int = 0


def cursor_of(access: Access, message: Message) -> Cursor:
    """A cursor over a message's data."""
    return Cursor(message.data, access.address_size, access.length_size)


def read_dataspace(cursor: Cursor) -> Dataspace:
    """The shape of a dataset; Unreadable when it has none (the null dataspace)."""
    version, rank, flags = cursor.number(1), cursor.number(1), cursor.number(1)
    if version not in (1, 2) or rank > MOST_RANK:
        raise Malformed(f"a dataspace of version {version} and {rank} dimensions")
    if cursor.number(1) == 2 and version == 2:
        raise Unreadable("no elements")
    cursor.skip(4 if version == 1 else 0)
    shape = tuple(cursor.length() for _ in range(rank))
    if not flags & 1:
        return Dataspace(shape, shape)
    most = [cursor.length() for _ in range(rank)]
    unlimited = (1 << (8 * cursor.length_size)) - 1
    return Dataspace(shape, tuple(None if extent == unlimited else extent for extent in most))


def read_place(cursor: Cursor, address: int) -> Place:
    """What a layout message says; ``address`` is where its data starts."""
    version = cursor.number(1)
    if version in (1, 2):
        return _old_place(cursor, address)
    kind = cursor.number(1)
    if version not in (3, 4) or kind > CHUNKED:
        raise Unreadable(f"layout {kind} of version {version}")
    if kind == COMPACT:
        size = cursor.number(2)
        return Place(COMPACT, address + cursor.place, len(cursor.take(size)))
    if kind == CONTIGUOUS:
        return Place(CONTIGUOUS, cursor.address(), cursor.length())
    if version == 4:
        return _new_chunks(cursor)
    rank = cursor.number(1)
    tree = cursor.address()
    return Place(CHUNKED, tree, chunk=tuple(cursor.number(4) for _ in range(rank)))


def _old_place(cursor: Cursor, address: int) -> Place:
    """Versions 1 and 2: the extents of a contiguous dataset are repeated here, and not needed."""
    rank, kind = cursor.number(1), cursor.number(1)
    cursor.skip(5)
    if kind == COMPACT:
        cursor.skip(4 * rank)
        size = cursor.number(4)
        return Place(COMPACT, address + cursor.place, len(cursor.take(size)))
    if kind > CHUNKED:
        raise Unreadable(f"layout {kind}")
    place = cursor.address()
    if kind == CONTIGUOUS:
        return Place(CONTIGUOUS, place)
    return Place(CHUNKED, place, chunk=tuple(cursor.number(4) for _ in range(rank)))


def _new_chunks(cursor: Cursor) -> Place:
    flags, rank, width = cursor.number(1), cursor.number(1), cursor.number(1)
    if flags & 1:
        raise Unreadable("chunks at the edge that are not filtered")
    chunk = tuple(cursor.number(width) for _ in range(rank))
    index = cursor.number(1)
    size, mask = None, 0
    if index == SINGLE and flags & 2:
        size, mask = cursor.length(), cursor.number(4)
    parameters = {SINGLE: 0, IMPLICIT: 0, FIXED_ARRAY: 1, EXTENSIBLE_ARRAY: 5, BTREE_V2: 6}
    if index not in parameters:
        raise Unreadable(f"chunk index {index}")
    cursor.skip(parameters[index])  # they are repeated in the index
    return Place(CHUNKED, cursor.address(), None, chunk, index, size, mask)


def single_head(data: bytes) -> int:
    """Bytes of the layout message of a filtered single chunk before the chunk's size, its mask and its address."""
    return 6 + data[3] * data[4]


def read_filters(cursor: Cursor) -> list[list[str | int]]:
    """The filters in the order of writing, each its name (or number) and its parameters."""
    version, count = cursor.number(1), cursor.number(1)
    if version not in (1, 2):
        raise Malformed(f"filters of version {version}")
    if count > MOST_FILTERS:  # each is undone for every chunk
        raise Malformed(f"{count} filters")
    cursor.skip(6 if version == 1 else 0)
    filters = []
    for _ in range(count):
        number = cursor.number(2)
        named = version == 1 or number >= 256
        name_size = cursor.number(2) if named else 0
        cursor.skip(2)
        values = cursor.number(2)
        cursor.skip(name_size)
        found: list[str | int] = [FILTER_NAMES.get(number, f"number {number}")]
        found += [cursor.number(4) for _ in range(values)]
        cursor.skip(4 if version == 1 and values % 2 else 0)
        filters.append(found)
    return filters


def read_fill(message: Message, size: int) -> bytes:
    """The fill value, as the ``size`` bytes of an element; b"" for zeros."""
    cursor = Cursor(message.data)
    if message.kind != OLD_FILL:
        version = cursor.number(1)
        if version not in (1, 2, 3):
            raise Malformed(f"a fill value of version {version}")
        flags = cursor.number(1 if version == 3 else 3)
        defined = flags & 0x20 if version == 3 else flags >> 16 or version == 1
        if not defined:
            return b""
    value = cursor.take(cursor.number(4))
    if value and len(value) != size:
        raise Malformed(f"a fill value of {len(value)} bytes for elements of {size}")
    return value if any(value) else b""
