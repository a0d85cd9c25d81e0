"""B-trees of version 1: of old groups (keys are names) and of chunks (keys are places in the dataset)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.access import Access

GROUP, CHUNKS = 0, 1
MOST_LEVELS = 64


class Entry(NamedTuple):
    """One entry of a node of some ``level`` (0: a leaf): its key, which is at ``place``, and its child's address."""

    level: int
    key: bytes
    child: int
    place: int


def leaves(access: Access, root: int, kind: int, key_size: int) -> Iterator[tuple[bytes, int]]:
    """(key, child's address) of every leaf entry below ``root``, in order."""
    return ((e.key, e.child) for e in entries(access, root, kind, key_size) if not e.level)


def entries(access: Access, root: int, kind: int, key_size: int) -> Iterator[Entry]:
    """Every entry of every node below ``root``, a node before its children."""
    pending: list[tuple[int, int | None]] = [(root, None)]
    while pending:
        address, level = pending.pop()
        access.visit("B-tree node", address)
        found, inside = _node(access, address, kind, key_size)
        if found != level and (level is not None or found > MOST_LEVELS):
            raise Malformed(f"a B-tree node of level {found} where {level} must be")
        yield from inside
        if found:
            pending.extend((entry.child, found - 1) for entry in reversed(inside))


def _node(access: Access, address: int, kind: int, key_size: int) -> tuple[int, list[Entry]]:
    head = access.cursor(address, 8)
    head.expect(b"TREE")
    if head.number(1) != kind:
        raise Malformed("a B-tree node of another kind")
    level, count = head.number(1), head.number(2)
    start = address + 8 + 2 * access.address_size
    body = access.cursor(start, count * (key_size + access.address_size))
    found = []
    for _ in range(count):
        place, key, child = start + body.place, body.take(key_size), body.address()
        if child is None:
            raise Malformed("a B-tree entry points nowhere")
        found.append(Entry(level, key, child, place))
    return level, found
