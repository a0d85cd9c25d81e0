"""B-trees of version 2: of the links of new groups and of chunks with several unlimited dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.hdf5_file.access import Access

LINK_NAMES, CHUNKS, FILTERED_CHUNKS = 5, 10, 11
MOST_LEVELS = 16
OVERHEAD = 10
"""Bytes of a node that are not records: signature, version, kind, checksum."""


class _Tree(NamedTuple):
    kind: int
    node_size: int
    record_size: int
    count_width: int
    total_widths: tuple[int, ...]
    """For a node of level n: how many bytes hold the number of all records below one of its children."""


class Node(NamedTuple):
    """The records of a node; the first is at ``place``, the node's checksum covers ``begin … end`` and follows that."""

    records: list[bytes]
    place: int
    begin: int
    end: int


def records(access: Access, address: int, kind: int) -> Iterator[bytes]:
    """Every record of the tree whose header is at ``address`` (in no particular order)."""
    for node in nodes(access, address, kind):
        yield from node.records


def nodes(access: Access, address: int, kind: int) -> Iterator[Node]:
    """Every node of the tree whose header is at ``address`` (in no particular order)."""
    head = access.cursor(address, 22 + access.address_size + access.length_size)
    head.expect(b"BTHD", 0)
    if head.number(1) != kind:
        raise Malformed("a B-tree of another kind")
    node_size, record_size, depth = head.number(4), head.number(2), head.number(2)
    head.skip(2)
    root, count = head.address(), head.number(2)
    if root is None:
        return
    if depth > MOST_LEVELS or record_size == 0:
        raise Malformed(f"a B-tree of {depth} levels")
    tree = _tree(access, kind, node_size, record_size, depth)
    pending = [(root, count, depth)]
    while pending:
        place, count, level = pending.pop()
        access.visit("B-tree node", place)
        found, children = _node(access, tree, place, count, level)
        yield found
        pending.extend(children)


def _tree(access: Access, kind: int, node_size: int, record_size: int, depth: int) -> _Tree:
    """The widths of the numbers in a node depend on how many records a full node of each level can hold."""
    most = (node_size - OVERHEAD) // record_size if node_size > OVERHEAD else 0
    count_width = _bytes_for(most)
    total, widths = most, [0]
    for _ in range(depth):
        pointer = access.address_size + count_width + widths[-1]
        here = (node_size - OVERHEAD - pointer) // (record_size + pointer)
        if here < 1:
            raise Malformed("a B-tree's nodes are too small for its records")
        total = (here + 1) * total + here
        widths.append(_bytes_for(total))
    return _Tree(kind, node_size, record_size, count_width, tuple(widths))


def _bytes_for(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)


def _node(
    access: Access, tree: _Tree, place: int, count: int, level: int
) -> tuple[Node, list[tuple[int, int, int]]]:
    width = tree.total_widths[level - 1] if level else 0
    pointer = (access.address_size + tree.count_width + width) if level else 0
    size = 6 + count * tree.record_size + (count + 1) * pointer
    if size + 4 > tree.node_size:
        raise Malformed(f"a B-tree node holds {count} records, more than fit")
    cursor = access.cursor(place, size)
    cursor.expect(b"BTIN" if level else b"BTLF", 0)
    if cursor.number(1) != tree.kind:
        raise Malformed("a B-tree node of another kind")
    found = [cursor.take(tree.record_size) for _ in range(count)]
    children = []
    for _ in range(count + 1 if level else 0):
        child, number = cursor.address(), cursor.number(tree.count_width)
        cursor.skip(width)
        if child is None:
            raise Malformed("a B-tree node points nowhere")
        children.append((child, number, level - 1))
    return Node(found, place + 6, place, place + size), children
