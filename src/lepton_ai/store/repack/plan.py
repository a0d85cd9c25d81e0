"""Which blocks to keep in full and which as differences to which: the fewest bytes within a bound on the chain.

A pure function from what each form would take to what is chosen. This is the storage/recreation problem of
Bhattacherjee, Chavan, Huang, Deshpande and Parameswaran (VLDB 2015) in the form "least storage, no recreation dearer
than a bound" (their Problem 6), where to recreate a block costs one for each object that is opened. In general it is
NP-hard; on a forest it is not. So a forest is chosen first, of the cheapest differences (Kruskal), and on that the
answer is exact: for every block and every length of its chain the fewest bytes of all that hangs on it, from the
leaves up, in O(blocks · bound).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_NEVER = 1 << 100
_SCALE = 1 << 24
"""Bytes count this much more than opened objects: these decide among plans of equal size."""

Edges = Mapping[tuple[bytes, bytes], int]
"""(block, base) → bytes of the block as a difference to the base."""


class Block(NamedTuple):
    """``bound``: objects that may be opened to read it, 1 is itself in full; ``whole``: its bytes in full.

    One that is not ``needed`` may be left out, or kept because others stand on it.
    """

    bound: int
    whole: int
    needed: bool = True


class _Node:
    """A block in its tree, with the least bytes of it and everything below it.

    ``own[d]``: when its chain is ``d`` long and ends in itself, or goes on in the child ``by[d]``; ``hung[d]``: when it
    stands on its parent; ``below[d]`` without itself. ``best``: the least of ``own``, or of leaving it out.
    """

    __slots__ = ("below", "best", "bound", "by", "children", "hung", "id", "own", "parent")

    def __init__(self, id_: bytes, parent: _Node | None, bound: int) -> None:
        self.id, self.parent, self.bound = id_, parent, bound
        self.children: list[_Node] = []
        self.own: list[int] = []
        self.hung: list[int] = []
        self.below: list[int] = []
        self.by: list[_Node | None] = []
        self.best = 0


def plan(blocks: Mapping[bytes, Block], edges: Edges) -> dict[bytes, bytes | None]:
    """The base of every block that is to be kept, None for one in full.

    All needed blocks are in it, no chain leads in a circle or is longer than its block's bound, and it never takes more
    bytes than keeping every needed block in full.
    """
    strict = _planned({id_: block for id_, block in blocks.items() if block.needed}, edges)
    if all(block.needed for block in blocks.values()):
        return strict
    free = _planned(blocks, edges)
    return free if size(blocks, edges, free) < size(blocks, edges, strict) else strict


def size(blocks: Mapping[bytes, Block], edges: Edges, chosen: Mapping[bytes, bytes | None]) -> int:
    """Bytes that a choice takes."""
    return sum(blocks[id_].whole if base is None else edges[id_, base] for id_, base in chosen.items())


def lengths(chosen: Mapping[bytes, bytes | None]) -> dict[bytes, int]:
    """Objects to be opened for each block of a choice, itself included."""
    found: dict[bytes, int] = {}
    for id_ in chosen:
        way: list[bytes] = []
        at: bytes | None = id_
        while at is not None and at not in found:
            way.append(at)
            at = chosen[at]
        length = 0 if at is None else found[at]
        for step in reversed(way):
            length += 1
            found[step] = length
    return found


def heights(chosen: Mapping[bytes, bytes | None]) -> dict[bytes, int]:
    """How many differences stand on each block, one on another."""
    found = dict.fromkeys(chosen, 0)
    far = lengths(chosen)
    for id_ in sorted(chosen, key=lambda one: -far[one]):
        base = chosen[id_]
        if base is not None:
            found[base] = max(found[base], found[id_] + 1)
    return found


def _planned(blocks: Mapping[bytes, Block], edges: Edges) -> dict[bytes, bytes | None]:
    chosen: dict[bytes, bytes | None] = {}
    for tree in _forest(blocks, edges):
        for node in reversed(tree):
            _weigh(node, blocks, edges)
        _choose(tree[0], chosen)
    return chosen


def _forest(blocks: Mapping[bytes, Block], edges: Edges) -> list[list[_Node]]:
    """Trees of the cheapest differences; in each, parents come before their children."""
    weights: dict[tuple[bytes, bytes], int] = {}
    for (one, other), cost in edges.items():
        if one in blocks and other in blocks and cost < blocks[one].whole:
            pair = (one, other) if one < other else (other, one)
            weights[pair] = min(cost, weights.get(pair, cost))
    leader = {id_: id_ for id_ in blocks}

    def find(id_: bytes) -> bytes:
        while leader[id_] != id_:
            leader[id_] = id_ = leader[leader[id_]]
        return id_

    near: dict[bytes, list[bytes]] = {id_: [] for id_ in blocks}
    for one, other in sorted(weights, key=lambda pair: (weights[pair], pair)):
        if find(one) != find(other):
            leader[find(one)] = find(other)
            near[one].append(other)
            near[other].append(one)
    return _rooted(blocks, near)


def _rooted(blocks: Mapping[bytes, Block], near: Mapping[bytes, list[bytes]]) -> list[list[_Node]]:
    trees: list[list[_Node]] = []
    seen: set[bytes] = set()
    for start in blocks:
        if start in seen:
            continue
        tree = [_Node(start, None, blocks[start].bound)]
        seen.add(start)
        for node in tree:  # it grows meanwhile
            for id_ in near[node.id]:
                if id_ not in seen:
                    seen.add(id_)
                    child = _Node(id_, node, blocks[id_].bound)
                    node.children.append(child)
                    tree.append(child)
        for node in tree:
            node.bound = min(node.bound, len(tree))
        trees.append(tree)
    return trees


def _child(child: _Node, length: int) -> int:
    """The least bytes of a child and what is below it, when its parent's chain is ``length`` long."""
    return min(child.best, child.hung[length + 1] if length + 1 <= child.bound else _NEVER)


def _weigh(node: _Node, blocks: Mapping[bytes, Block], edges: Edges) -> None:
    """Fill a node whose children are filled."""
    block, count = blocks[node.id], node.bound + 1
    node.below = [0] + [sum(_child(child, d) for child in node.children) for d in range(1, count)]
    node.own = [_NEVER] * count
    node.by = [None] * count
    node.own[1] = block.whole * _SCALE + 1 + node.below[1]
    for child in node.children:
        cost = edges.get((node.id, child.id))
        if cost is None:
            continue
        for d in range(2, min(node.bound, child.bound + 1) + 1):
            total = cost * _SCALE + d + child.own[d - 1] + node.below[d] - _child(child, d)
            if total < node.own[d]:
                node.own[d], node.by[d] = total, child
    cost = edges.get((node.id, node.parent.id)) if node.parent else None
    node.hung = [_NEVER] * count
    if cost is not None:
        node.hung[2:] = [cost * _SCALE + d + node.below[d] for d in range(2, count)]
    node.best = min(node.own)
    if not block.needed:
        node.best = min(node.best, sum(child.best for child in node.children))


def _choose(root: _Node, chosen: dict[bytes, bytes | None]) -> None:
    """Walk down what was weighed."""
    waiting: list[tuple[_Node, int, bool]] = [(root, 0, False)]
    while waiting:
        node, length, hangs = waiting.pop()
        if not length and node.best == min(node.own):
            length = node.own.index(node.best)
        on = None
        if hangs:
            chosen[node.id] = node.parent.id if node.parent else None
        elif length:
            on = node.by[length]
            chosen[node.id] = on.id if on else None
        for child in node.children:
            if child is on:
                waiting.append((child, length - 1, False))
            elif length and length + 1 <= child.bound and child.hung[length + 1] < child.best:
                waiting.append((child, length + 1, True))
            else:
                waiting.append((child, 0, False))
