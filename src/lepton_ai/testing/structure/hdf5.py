"""HDF5: addresses that lead in circles or to blocks of another kind, levels, counts, message sizes and chunks that lie.

Blocks are found by their signatures, old object headers by their looks; addresses are the words that point to one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, rounds

SIGNATURE = b"\x89HDF\r\n\x1a\n"
BLOCKS = re.compile(
    rb"TREE|HEAP|SNOD|OHDR|OCHK|BTHD|BTLF|BTIN|FRHP|FHDB|FHIB|FAHD|FADB|EAHD|EAIB|EASB|EADB|GCOL"
)
OLD_HEADER = re.compile(rb"\x01\x00(?=[\x01-\x40]\x00[\x01-\x20]\x00\x00\x00..\x00\x00)", re.DOTALL)
MESSAGES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 18, 255)
LONGEST_HEAD = 64
"""Bytes behind a signature in which counts, levels, sizes and addresses stand."""


class Map(NamedTuple):
    """Where a file's blocks begin, and the places of words that are the address of one."""

    base: int
    blocks: tuple[int, ...]
    headers: tuple[int, ...]
    pointers: tuple[int, ...]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file with some of its words changed; its stated end still is its end, mostly."""
    map_ = _map(bytes(data))
    result = bytearray(data)
    for _ in rounds(rng):
        rng.choice(EDITS)(result, map_, rng)
    if len(result) != len(data) and rng.random() < 0.8:
        _set_end(result, map_.base, len(data))
    return bytes(result)


@lru_cache(maxsize=64)
def _map(data: bytes) -> Map:
    base = data.find(SIGNATURE)
    if base < 0:
        raise NotStructured
    blocks = tuple(found.start() for found in BLOCKS.finditer(data))
    headers = tuple(found.start() for found in OLD_HEADER.finditer(data) if (found.start() - base) % 8 == 0)
    starts = {place - base for place in (*blocks, *headers)}
    pointers = tuple(
        place for place in range(len(data) - 7) if int.from_bytes(data[place : place + 8], "little") in starts
    )
    if not blocks or not pointers:
        raise NotStructured
    return Map(base, blocks, headers, pointers)


def _put(data: bytearray, place: int, value: int, width: int) -> None:
    if 0 <= place <= len(data) - width:
        data[place : place + width] = fit(value, width).to_bytes(width, "little")


def _get(data: bytearray, place: int, width: int) -> int:
    return int.from_bytes(data[place : place + width], "little")


def _set_end(data: bytearray, base: int, old: int) -> None:
    """Tell the superblock the new end of the file."""
    place = bytes(data).find(old.to_bytes(8, "little"), base, base + 64)
    if place >= 0:
        _put(data, place, len(data), 8)


def _pointer(data: bytearray, map_: Map, rng: random.Random) -> None:
    """Send an address somewhere else: to another block, to its own, out of the file, nowhere."""
    place = rng.choice(map_.pointers)
    others = (*map_.blocks, *map_.headers)
    before = [block for block in others if block < place] or [map_.base]
    target = rng.choice((rng.choice(others), rng.choice(others), max(before), place)) - map_.base
    if rng.random() < 0.25:
        target = rng.choice(((1 << 64) - 1, hostile(rng, target, len(data))))
    _put(data, place, target, 8)


def _swap(data: bytearray, map_: Map, rng: random.Random) -> None:
    a, b = rng.choice(map_.pointers), rng.choice(map_.pointers)
    left, right = _get(data, a, 8), _get(data, b, 8)
    _put(data, a, right, 8)
    _put(data, b, left, 8)


def _head(data: bytearray, map_: Map, rng: random.Random) -> None:
    """Another number in the head of a block: version, kind, level, count, size."""
    block = rng.choice(map_.blocks)
    _number(data, block + 4 + rng.choice((*range(16), rng.randrange(LONGEST_HEAD))), rng)


def _number(data: bytearray, place: int, rng: random.Random) -> None:
    width = rng.choice((1, 1, 2, 4, 8))
    _put(data, place, hostile(rng, _get(data, place, width), len(data)), width)


def _message(data: bytearray, map_: Map, rng: random.Random) -> None:
    """Another kind, size, flag or content of a message of an object header."""
    messages = _messages(data, map_, rng)
    if not messages:
        return
    place, head = rng.choice(messages)
    sizes = 2 if head == 8 else 1  # bytes of the kind, behind which the size stands
    how = rng.randrange(7)
    if how == 0:
        _put(data, place, rng.choice(MESSAGES), sizes)
    elif how == 3:  # the version that most of them begin with, or the class
        _put(data, place + head + rng.randrange(2), rng.choice((0, 1, 2, 3, 4, 5)), 1)
    elif how == 1:
        _put(data, place + sizes, hostile(rng, _get(data, place + sizes, 2)), 2)
    elif how == 2:
        _put(data, place + sizes + 2, rng.choice((0, 1, 2, 3, 255)), 1)
    else:
        length = _get(data, place + sizes, 2)
        _number(data, place + head + rng.randrange(max(1, min(length, 80))), rng)


def _messages(data: bytearray, map_: Map, rng: random.Random) -> list[tuple[int, int]]:
    """(place, length of what stands before the content) of the messages in some header."""
    new = [block for block in map_.blocks if data.startswith((b"OHDR", b"OCHK"), block)]
    chosen = rng.choice((*map_.headers, *new)) if map_.headers or new else None
    if chosen is None:
        return []
    if chosen in map_.headers:
        return list(_walk(data, chosen + 16, _get(data, chosen + 8, 4), 8))
    if data[chosen : chosen + 4] == b"OCHK":
        return list(_walk(data, chosen + 4, 200, rng.choice((4, 6))))
    flags = data[chosen + 5]
    start = chosen + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return list(_walk(data, start + width, _get(data, start, width), 6 if flags & 4 else 4))


def _walk(data: bytearray, place: int, size: int, head: int) -> list[tuple[int, int]]:
    found, end = [], min(place + size, len(data))
    while place + head <= end:
        found.append((place, head))
        place += head + _get(data, place + (2 if head == 8 else 1), 2)
    return found


def _copy(data: bytearray, map_: Map, rng: random.Random) -> None:
    """One block over another."""
    source, target = rng.choice(map_.blocks), rng.choice(map_.blocks)
    length = rng.choice((4, 16, 64, 512))
    part = data[source : source + length]
    data[target : target + len(part)] = part


def _size(data: bytearray, map_: Map, rng: random.Random) -> None:
    """Cut the file, or let something stand behind it."""
    if rng.random() < 0.5:
        del data[rng.choice((rng.randrange(map_.base, len(data)), len(data) - rng.randrange(1, 64))) :]
    else:
        data += rng.choice((b"\0", b"\xff")) * rng.choice((1, 8, 5000))


def _superblock(data: bytearray, map_: Map, rng: random.Random) -> None:
    _number(data, map_.base + 8 + rng.randrange(90), rng)


def _names(data: bytearray, map_: Map, rng: random.Random) -> None:
    """Names with controls, slashes and no end, or the same one twice."""
    found = [match.start() for match in re.finditer(rb"[a-z_0-9]{3,}\0", bytes(data[map_.base :]))]
    if not found:
        return
    place, other = map_.base + rng.choice(found), map_.base + rng.choice(found)
    text = rng.choice((b"/", b"\x1b[", b"\xff\xfe", b"\n", b"a\0", bytes(data[other : other + 12])))
    data[place : place + len(text)] = text


EDITS: tuple[Callable[[bytearray, Map, random.Random], None], ...] = (
    _pointer, _pointer, _pointer, _swap, _head, _head, _head, _message, _message, _message, _message, _copy, _size,
    _superblock, _names,
)  # fmt: skip
