"""One dataset: from the messages of its object header to its type, its shape and the runs of its bytes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lepton_ai.formats.contract import Malformed, check_range
from lepton_ai.formats.encodings.chunked import DEFLATE_MOST, MOST_FILL, most_box
from lepton_ai.formats.encodings.shapes import nbytes_of
from lepton_ai.formats.hdf5_file import headers, messages
from lepton_ai.formats.hdf5_file.access import Access, Unreadable
from lepton_ai.formats.hdf5_file.attributes import string_attribute
from lepton_ai.formats.hdf5_file.chunks import Chunk, Grid, grid_of, read_chunks
from lepton_ai.formats.hdf5_file.datatypes import Element, is_pair_of_bytes, read_datatype
from lepton_ai.formats.hdf5_file.headers import SHARED, Message, read_header
from lepton_ai.formats.hdf5_file.heaps import GlobalHeaps
from lepton_ai.formats.hdf5_file.messages import Dataspace, Place, cursor_of

COMMITTED = 2


class Dataset(NamedTuple):
    """A dataset that can be read: ``runs`` are (offset in the whole file, length)."""

    element: Element
    shape: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    encoding: str
    args: dict[str, Any]
    plain: bool
    """Whether the runs are elements as they are, not filtered ones."""

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded array."""
        return math.prod(self.shape) * self.element.size


class DatasetReader:
    """Reads datasets of one file."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._heaps = GlobalHeaps(access)
        self._committed: dict[int, bytes] = {}

    def read(self, header: list[Message]) -> Dataset:
        """The dataset that ``header`` describes.

        Raises:
            Unreadable: it is of a kind that is kept as opaque bytes.
            Malformed: its headers contradict themselves or the file.
        """
        access = self._access
        if _find(header, headers.EXTERNAL):
            raise Unreadable("its bytes are in other files")
        element = self._element(header)
        space = messages.read_dataspace(cursor_of(access, _plain(header, headers.DATASPACE)))
        layout = _plain(header, headers.LAYOUT)
        place = messages.read_place(cursor_of(access, layout), layout.address)
        if place.kind == messages.CHUNKED:
            return self._chunked(header, element, space, place)
        nbytes = nbytes_of(element.name, space.shape)
        if place.address is None or nbytes == 0:
            return _filled(header, element, space.shape, nbytes)
        if place.size is not None and place.size < nbytes:
            raise Malformed(f"{place.size} bytes for a dataset of {nbytes}")
        args = {"byteorder": "big"} if element.big else {}
        return Dataset(element, space.shape, (self._run(place.address, nbytes),), "raw", args, plain=True)

    def _element(self, header: list[Message]) -> Element:
        message = _find(header, headers.DATATYPE)
        if message is None:
            raise Unreadable("no type")
        data = self._shared(message) if message.flags & SHARED else message.data
        if is_pair_of_bytes(data):
            said = string_attribute(self._access, self._heaps, header, b"dtype")
            if said == b"bfloat16":
                return Element("bfloat16", 2)
        return read_datatype(data)

    def _shared(self, message: Message) -> bytes:
        """A committed datatype, which has an object header of its own."""
        cursor = cursor_of(self._access, message)
        version, kind = cursor.number(1), cursor.number(1)
        if version == 1:
            cursor.skip(6)
        elif version == 3 and kind != COMMITTED:
            raise Unreadable("its type is in the table of shared messages")
        address = cursor.address()
        if address is None or version > 3:
            raise Malformed("a shared type is nowhere")
        if address not in self._committed:
            found = _find(read_header(self._access, address), headers.DATATYPE)
            if found is None or found.flags & SHARED:
                raise Malformed("a shared type is not a type")
            self._committed[address] = found.data
        return self._committed[address]

    def _run(self, address: int, length: int) -> tuple[int, int]:
        check_range(address, length, self._access.size)
        return self._access.base + address, length

    def _chunked(self, header: list[Message], element: Element, space: Dataspace, place: Place) -> Dataset:
        nbytes = nbytes_of(element.name, space.shape)
        grid = grid_of(space, place, element.size)
        pipeline = _find(header, headers.FILTERS)
        if pipeline and pipeline.flags & SHARED:
            raise Unreadable("its filters are in the table of shared messages")
        filters = messages.read_filters(cursor_of(self._access, pipeline)) if pipeline else []
        chunks = read_chunks(self._access, place, grid, filtered=bool(filters)) if nbytes else []
        if not chunks:
            return _filled(header, element, space.shape, nbytes)
        stored = sum(chunk.size for chunk in chunks)
        _check_sizes(chunks, grid, nbytes, stored, filtered=bool(filters))
        runs = tuple(self._run(chunk.address, chunk.size) for chunk in chunks)
        if not filters and len(chunks) == 1 and grid.chunk == space.shape:
            args: dict[str, Any] = {"byteorder": "big"} if element.big else {}
            return Dataset(element, space.shape, runs, "raw", args, plain=True)
        args = _chunk_args(grid, chunks, filters)
        return Dataset(element, space.shape, runs, "chunked", args | _fill_args(header, element), not filters)


def _check_sizes(chunks: list[Chunk], grid: Grid, nbytes: int, stored: int, *, filtered: bool) -> None:
    """Refuse chunks that cannot hold what they claim, and shapes far beyond what is stored."""
    if filtered:
        if any(grid.nbytes > DEFLATE_MOST * chunk.size + 65536 for chunk in chunks):
            raise Malformed(f"compressed chunks that are too small for {grid.nbytes} bytes")
    elif any(chunk.size != grid.nbytes for chunk in chunks):
        raise Malformed(f"a chunk that does not have {grid.nbytes} bytes")
    if nbytes > MOST_FILL + DEFLATE_MOST * stored:
        raise Unreadable(f"{nbytes} bytes, of which {stored} are stored")
    if grid.nbytes > most_box(nbytes):
        raise Unreadable(f"chunks of {grid.nbytes} bytes for {nbytes}")
    if len({chunk.where for chunk in chunks}) != len(chunks):
        raise Malformed("two chunks for the same place")


def _chunk_args(grid: Grid, chunks: list[Chunk], filters: list[list[str | int]]) -> dict[str, Any]:
    """Arguments of the "chunked" encoding; what has its default value is left away."""
    args: dict[str, Any] = {"chunk": list(grid.chunk)}
    numbers = [_ravel(chunk.where, grid.counts) for chunk in chunks]
    if numbers != list(range(len(numbers))):
        args["numbers"] = numbers
    if filters:
        args["filters"] = filters
    if any(chunk.mask for chunk in chunks):
        args["skipped"] = [chunk.mask for chunk in chunks]
    return args


def _ravel(where: tuple[int, ...], counts: tuple[int, ...]) -> int:
    number = 0
    for coordinate, count in zip(where, counts, strict=True):
        number = number * count + coordinate
    return number


def _filled(header: list[Message], element: Element, shape: tuple[int, ...], nbytes: int) -> Dataset:
    """A dataset of which nothing was ever written."""
    if nbytes == 0:
        return Dataset(element, shape, (), "raw", {}, plain=True)
    if nbytes > MOST_FILL:
        raise Unreadable(f"{nbytes} bytes, of which none are stored")
    args = {"chunk": list(shape), **_fill_args(header, element)}
    return Dataset(element, shape, (), "chunked", args, plain=True)


def _fill_args(header: list[Message], element: Element) -> dict[str, Any]:
    args: dict[str, Any] = {"byteorder": "big"} if element.big else {}
    message = _find(header, headers.FILL) or _find(header, headers.OLD_FILL)
    if message is None:
        return args
    if message.flags & SHARED:
        raise Unreadable("its fill value is in the table of shared messages")
    value = messages.read_fill(message, element.size)
    return args | {"fill": value.hex()} if value else args


def _find(header: list[Message], kind: int) -> Message | None:
    return next((message for message in header if message.kind == kind), None)


def _plain(header: list[Message], kind: int) -> Message:
    message = _find(header, kind)
    if message is None or message.flags & SHARED:
        raise Unreadable(f"no message {kind} of its own")
    return message
