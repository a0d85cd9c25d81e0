"""Fixed and extensible arrays: the elements of chunk indexes of version 4, by number.

Both are flat lists of equally wide elements, cut into blocks that may be missing and into pages that may be
unwritten. The extensible one grows by "super blocks": number n has 2^(n/2) data blocks of 2^((n+1)/2) ×
the smallest one's elements.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.access import Access

CHECKSUM = 4
NOT_ZERO = re.compile(rb"[^\0]")
MOST_BITS = 64


class Run(NamedTuple):
    """Elements that follow each other: the number of the first one, bytes per element, all their bytes.

    They lie at ``place``, in a block from ``begin`` to ``end``, behind which is the block's checksum.
    """

    first: int
    width: int
    data: bytes
    place: int
    begin: int
    end: int


def fixed_array(access: Access, address: int) -> Iterator[Run]:
    """The written elements of the fixed array whose header is at ``address``."""
    head = access.cursor(address, 8 + access.length_size + access.address_size)
    head.expect(b"FAHD", 0)
    head.skip(1)
    width, page_bits = head.number(1), head.number(1)
    count, block = head.length(), head.address()
    if width == 0 or page_bits > MOST_BITS:
        raise Malformed("a fixed array of nothing")
    if block is None:
        return
    if access.read(block, 5) != b"FADB\0":
        raise Malformed(f"no block of a fixed array at {block}")
    place, page = block + 6 + access.address_size, 1 << page_bits
    if count <= page:
        yield Run(0, width, access.read(place, count * width), place, block, place + count * width)
        return
    pages = -(-count // page)
    bitmap = access.read(place, -(-pages // 8))
    place += len(bitmap) + CHECKSUM
    for number in _written(bitmap, 0, pages):
        here = min(page, count - number * page)
        at = place + number * (page * width + CHECKSUM)
        yield Run(number * page, width, access.read(at, here * width), at, at, at + here * width)


def _written(bitmap: bytes, first: int, count: int) -> Iterator[int]:
    """Numbers below ``count`` whose bit, counted from ``first``, is set (highest bit of a byte first)."""
    for found in NOT_ZERO.finditer(bitmap, first // 8, -(-(first + count) // 8)):
        byte = bitmap[found.start()]
        for bit in range(8):
            number = 8 * found.start() + bit - first
            if byte & (0x80 >> bit) and 0 <= number < count:
                yield number


class _Sizes(NamedTuple):
    """The header of an extensible array."""

    width: int
    page: int
    """Elements per page of a data block."""
    smallest: int
    """Elements in the smallest data block."""
    prefix: int
    """Bytes in front of a super or data block's contents."""
    end: int
    """Elements up to here have been written."""


def extensible_array(access: Access, address: int) -> Iterator[Run]:
    """The written elements of the extensible array whose header is at ``address``."""
    head = access.cursor(address, 12 + 6 * access.length_size + access.address_size)
    head.expect(b"EAHD", 0)
    head.skip(1)
    width, bits, in_index, smallest, super_from, page_bits = head.take(6)
    head.skip(4 * access.length_size)
    end = head.length()
    head.length()
    index = head.address()
    if (
        width == 0
        or max(bits, page_bits) > MOST_BITS
        or not _power_of_2(smallest)
        or not _power_of_2(super_from)
    ):
        raise Malformed("an extensible array with odd sizes")
    if index is None:
        return
    sizes = _Sizes(width, 1 << page_bits, smallest, 6 + access.address_size + (bits + 7) // 8, end)
    direct = 2 * (super_from.bit_length() - 1)
    levels = max(direct, 1 + bits - (smallest.bit_length() - 1))
    addresses = 2 * (super_from - 1) + levels - direct
    size = 6 + (1 + addresses) * access.address_size + in_index * width
    block = access.cursor(index, size)
    block.expect(b"EAIB", 0)
    block.skip(1 + access.address_size)
    at = index + block.place
    yield Run(0, width, block.take(in_index * width), at, index, index + size)
    start = in_index
    for level in range(levels):
        blocks, elements = 1 << (level // 2), smallest << ((level + 1) // 2)
        if start >= end:
            return
        if level < direct:
            found = [(block.address(), b"", 0) for _ in range(blocks)]
        else:
            found = _super_block(access, sizes, block.address(), blocks, elements)
        for number, (place, bitmap, first) in enumerate(found):
            if place is not None:
                yield from _data_block(
                    access, sizes, place, start + number * elements, elements, bitmap, first
                )
        start += blocks * elements


def _super_block(
    access: Access, sizes: _Sizes, place: int | None, blocks: int, elements: int
) -> list[tuple[int | None, bytes, int]]:
    """Address, bitmap of written pages, and first bit there, of every data block of a super block."""
    if place is None:
        return []
    pages = elements // sizes.page if elements > sizes.page else 0
    bitmap_size = blocks * -(-pages // 8)
    if access.read(place, 5) != b"EASB\0":
        raise Malformed(f"no super block of an extensible array at {place}")
    cursor = access.cursor(place + sizes.prefix, bitmap_size + blocks * access.address_size)
    bitmap = cursor.take(bitmap_size)
    return [(cursor.address(), bitmap, number * pages) for number in range(blocks)]


def _data_block(
    access: Access, sizes: _Sizes, place: int, start: int, elements: int, bitmap: bytes, first: int
) -> Iterator[Run]:
    access.visit("block of an array", place)
    if access.read(place, 5) != b"EADB\0":
        raise Malformed(f"no block of an extensible array at {place}")
    block, place = place, place + sizes.prefix
    if elements <= sizes.page:
        size = elements * sizes.width
        yield Run(start, sizes.width, access.read(place, size), place, block, place + size)
        return
    place += CHECKSUM
    step = sizes.page * sizes.width
    if not bitmap:
        raise Malformed("an extensible array's pages are too small")
    for number in _written(bitmap, first, elements // sizes.page):
        at = place + number * (step + CHECKSUM)
        yield Run(start + number * sizes.page, sizes.width, access.read(at, step), at, at, at + step)


def _power_of_2(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
