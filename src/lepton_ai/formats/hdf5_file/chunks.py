"""The chunks of a dataset, whichever of the six kinds of index lists them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file import btree_v1, btree_v2, messages
from lepton_ai.formats.hdf5_file.access import Access, Cursor, Unreadable
from lepton_ai.formats.hdf5_file.chunk_arrays import Run, extensible_array, fixed_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.messages import Dataspace, Place


class Chunk(NamedTuple):
    """One stored chunk: its coordinates in the grid of chunks, its bytes, the filters that it skipped."""

    where: tuple[int, ...]
    address: int
    size: int
    mask: int


class Grid(NamedTuple):
    """How a dataset is cut: extents of a chunk, bytes per chunk, chunks per dimension now and at most."""

    chunk: tuple[int, ...]
    nbytes: int
    counts: tuple[int, ...]
    most: tuple[int | None, ...]

    def holds(self, where: tuple[int, ...]) -> bool:
        """Whether a chunk is inside of the dataset's present shape."""
        return all(number < count for number, count in zip(where, self.counts, strict=True))


def grid_of(space: Dataspace, place: Place, itemsize: int) -> Grid:
    """The grid of a chunked dataset."""
    *chunk, stated = place.chunk or (0,)
    if stated != itemsize or len(chunk) != len(space.shape) or not chunk or not all(chunk):
        raise Malformed(
            f"chunks of {place.chunk} for elements of {itemsize} bytes and {len(space.shape)} dimensions"
        )
    counts = tuple(-(-extent // step) for extent, step in zip(space.shape, chunk, strict=True))
    most = tuple(
        None if extent is None else -(-extent // step) for extent, step in zip(space.most, chunk, strict=True)
    )
    return Grid(tuple(chunk), math.prod(chunk) * itemsize, counts, most)


def read_chunks(access: Access, place: Place, grid: Grid, *, filtered: bool) -> list[Chunk]:
    """Every chunk that is stored and lies in the dataset's shape, in the order of the index.

    Raises:
        Unreadable: there are more than a model's tensor has reason to.
    """
    if place.address is None:
        return []
    found: list[Chunk] = []
    for chunk in _all(access, place, place.address, grid, filtered):
        access.step(1)
        if grid.holds(chunk.where):
            found.append(chunk)
        if len(found) > access.chunks_left:
            raise Unreadable("more chunks than a file of its size has")
    access.chunks_left -= len(found)
    return found


def _all(access: Access, place: Place, address: int, grid: Grid, filtered: bool) -> Iterator[Chunk]:
    rank = len(grid.chunk)
    if place.lister == messages.BTREE_V1:
        return _tree_1(access, address, grid)
    if place.lister == messages.SINGLE:
        size = grid.nbytes if place.single_size is None else place.single_size
        return iter([Chunk((0,) * rank, address, size, place.single_mask)])
    if place.lister == messages.IMPLICIT:
        return _implicit(access, address, grid)
    if place.lister == messages.BTREE_V2:
        return _tree_2(access, address, grid, filtered)
    if place.lister == messages.FIXED_ARRAY:
        return _listed(access, fixed_array(access, address), grid, list(range(rank)), filtered)
    unlimited = [axis for axis, most in enumerate(grid.most) if most is None]
    if len(unlimited) != 1:
        raise Malformed("an extensible array for a dataset without exactly one unlimited dimension")
    axes = unlimited + [axis for axis in range(rank) if axis not in unlimited]
    return _listed(access, extensible_array(access, address), grid, axes, filtered)


def _tree_1(access: Access, address: int, grid: Grid) -> Iterator[Chunk]:
    rank = len(grid.chunk)
    for key, child in btree_v1.leaves(access, address, btree_v1.CHUNKS, 16 + 8 * rank):
        cursor = Cursor(key)
        size, mask = cursor.number(4), cursor.number(4)
        starts = [cursor.number(8) for _ in range(rank)]
        if any(start % step for start, step in zip(starts, grid.chunk, strict=True)):
            raise Malformed("a chunk that does not start where one must")
        where = tuple(start // step for start, step in zip(starts, grid.chunk, strict=True))
        yield Chunk(where, child, size, mask)


def _tree_2(access: Access, address: int, grid: Grid, filtered: bool) -> Iterator[Chunk]:
    rank = len(grid.chunk)
    kind = btree_v2.FILTERED_CHUNKS if filtered else btree_v2.CHUNKS
    for record in btree_v2.records(access, address, kind):
        cursor = Cursor(record, access.address_size, access.length_size)
        child, size, mask = cursor.address(), grid.nbytes, 0
        if filtered:
            size, mask = cursor.number(cursor.left - 4 - 8 * rank), cursor.number(4)
        where = tuple(cursor.number(8) for _ in range(rank))
        if cursor.left:
            raise Malformed("a B-tree of chunks with odd records")
        if child is not None:
            yield Chunk(where, child, size, mask)


def _implicit(access: Access, address: int, grid: Grid) -> Iterator[Chunk]:
    """Every chunk there can ever be, one behind the other."""
    most = [1 if count is None else count for count in grid.most]
    count = math.prod(most)
    if None in grid.most or count * grid.nbytes > access.size:
        raise Malformed("chunks one behind the other that do not fit into the file")
    for number in range(count):
        yield Chunk(_unravel(number, most), address + number * grid.nbytes, grid.nbytes, 0)


def _listed(
    access: Access, runs: Iterator[Run], grid: Grid, axes: list[int], filtered: bool
) -> Iterator[Chunk]:
    """Chunks by number: in C order of the largest shape, ``axes[0]`` (the unlimited dimension) slowest."""
    counts = [grid.most[axis] or 1 for axis in axes]
    absent = b"\xff" * access.address_size
    for first, width, data, *_ in runs:
        if width < access.address_size + (5 if filtered else 0):
            raise Malformed("an index of chunks with odd entries")
        for place in range(0, len(data), width):
            if data.startswith(absent, place):
                continue
            cursor = Cursor(data[place : place + width])
            address, size, mask = cursor.number(access.address_size), grid.nbytes, 0
            if filtered:
                size, mask = cursor.number(cursor.left - 4), cursor.number(4)
            found = _unravel(first + place // width, counts)
            yield Chunk(tuple(found[axes.index(axis)] for axis in range(len(axes))), address, size, mask)


def _unravel(number: int, counts: list[int]) -> tuple[int, ...]:
    """Coordinates of element ``number``; the first one takes whatever is left over."""
    where = []
    for count in reversed(counts[1:]):
        number, rest = divmod(number, max(count, 1))
        where.append(rest)
    return (number, *reversed(where))
