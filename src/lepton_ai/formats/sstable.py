"""Sorted tables as LevelDB and TensorFlow write them: blocks of keys and values, an index of the blocks, a footer.

Source: https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import MAX_TENSORS, Malformed
from lepton_ai.formats.protobuf import varint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.contract import Source

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
TRAILER = 5
"""After each block: a byte that names its compression, and a checksum that is not looked at."""

LONGEST_KEY = 4096


class Entry(NamedTuple):
    """A key with its value, which lies at ``place`` of the file, in the block of ``size`` bytes at ``block``."""

    key: bytes
    value: bytes
    place: int
    block: int
    size: int


def entries(source: Source) -> Iterator[tuple[bytes, bytes]]:
    """Every key with its value, in the order of the file.

    Raises:
        Malformed: the file is no such table, is damaged, or has compressed blocks.
    """
    return ((entry.key, entry.value) for entry in located(source))


def located(source: Source) -> Iterator[Entry]:
    """Every key and value with their places, in the order of the file.

    Raises:
        Malformed: the file is no such table, is damaged, or has compressed blocks.
    """
    if source.size < FOOTER:
        raise Malformed("it is too short for a table")
    footer = source.read(source.size - FOOTER, FOOTER)
    if not footer.endswith(MAGIC):
        raise Malformed("it is no table: the footer's magic number is missing")
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    count = end = 0
    last: bytes | None = None
    for _, value, _ in _pairs(_block(source, *index)):
        (offset, size), _ = _handle(value, 0)
        if offset < end:  # or a small file could ask for the same block again and again
            raise Malformed("the blocks of the table are out of order")
        end = offset + size
        for key, content, place in _pairs(_block(source, offset, size)):
            count += 1
            if count > MAX_TENSORS:
                raise Malformed(f"a table of more than {MAX_TENSORS} entries")
            if last is not None and key <= last:
                raise Malformed("the keys of the table are out of order")
            last = key
            yield Entry(key, content, offset + place, offset, size)


def _block(source: Source, offset: int, size: int) -> bytes:
    content = source.read(offset, size + TRAILER)
    if content[size] != 0:
        raise Malformed("a block of the table is compressed")
    return content[:size]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Keys and values of a block, and the values' places; each key says how much of the one before it begins with."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise Malformed("a block of the table is shorter than its own index")
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or shared + fresh > LONGEST_KEY or at + fresh + length > end:
            raise Malformed("an entry of the table lies about its length")
        key = key[:shared] + block[at : at + fresh]
        at += fresh + length
        yield key, block[at - length : at], at - length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at
