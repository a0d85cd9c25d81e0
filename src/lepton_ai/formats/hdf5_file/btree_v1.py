"""B-trees of version 1: of old groups (keys are names) and of chunks (keys are places in the dataset)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.access import Access

GROUP, CHUNKS = 0, 1
MOST_LEVELS = 64


def leaves(access: Access, root: int, kind: int, key_size: int) -> Iterator[tuple[bytes, int]]:
    """(key, child's address) of every leaf entry below ``root``, in order."""
    pending: list[tuple[int, int | None]] = [(root, None)]
    while pending:
        address, level = pending.pop()
        access.visit("B-tree node", address)
        found, entries = _node(access, address, kind, key_size)
        if found != level and (level is not None or found > MOST_LEVELS):
            raise Malformed(f"a B-tree node of level {found} where {level} must be")
        if found == 0:
            yield from entries
        else:
            pending.extend((child, found - 1) for _, child in reversed(entries))


def _node(access: Access, address: int, kind: int, key_size: int) -> tuple[int, list[tuple[bytes, int]]]:
    head = access.cursor(address, 8)
    head.expect(b"TREE")
    if head.number(1) != kind:
        raise Malformed("a B-tree node of another kind")
    level, count = head.number(1), head.number(2)
    body = access.cursor(address + 8 + 2 * access.address_size, count * (key_size + access.address_size))
    entries = []
    for _ in range(count):
        key, child = body.take(key_size), body.address()
        if child is None:
            raise Malformed("a B-tree entry points nowhere")
        entries.append((key, child))
    return level, entries
