"""Draw a history as lanes, newest first: a pure function from parents to lines of text.

Every node has a row of its own. A row of connectors stands above it when lanes join there, below it when lanes part
(a merge has several parents). A cell is the set of directions in which lines leave it, so that whatever meets in it
comes out right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
SIGNS = {
    0: " ", UP | DOWN: "│", LEFT | RIGHT: "─",
    UP | LEFT: "╯", UP | RIGHT: "╰", DOWN | LEFT: "╮", DOWN | RIGHT: "╭",
    UP | DOWN | LEFT: "┤", UP | DOWN | RIGHT: "├", UP | LEFT | RIGHT: "┴", DOWN | LEFT | RIGHT: "┬",
    UP | DOWN | LEFT | RIGHT: "┼",
}  # fmt: skip
PLAIN = str.maketrans("│─╯╰╮╭┤├┴┬┼●◆↺○", "|-/\\\\/||--+*MRx")
"""For terminals that know ASCII only."""


class Node(msgspec.Struct, frozen=True):
    """A version: its id, its parents' ids (the first parent first), and the sign that stands for it."""

    id: bytes
    parents: tuple[bytes, ...]
    sign: str = "●"


class Line(msgspec.Struct, frozen=True):
    """One line: its lanes as text, and the node that it shows; None for a row of connectors."""

    lanes: str
    node: Node | None


def draw(nodes: Iterable[Node]) -> list[Line]:
    """The lines for ``nodes``, which come with every child before its parents.

    A parent that is not among them leaves its lane open at the bottom.
    """
    lanes: list[bytes | None] = []  # for each lane, the id of the node that it leads down to
    lines: list[Line] = []
    ended: int | None = (
        None  # a lane that ended in the row above: what stood there next would look like a parent
    )
    for node in nodes:
        mine = [i for i, awaited in enumerate(lanes) if awaited == node.id]
        lane = mine[0] if mine else _free(lanes, avoid=ended)
        if len(mine) > 1:
            lines.append(Line(_connect(lanes, lane, dict.fromkeys(mine[1:], UP)), None))
        for other in mine[1:]:
            lanes[other] = None
        lanes[lane] = node.id
        lines.append(Line(_pass(lanes, lane, node.sign), node))
        lanes[lane] = node.parents[0] if node.parents else None
        ended = None if node.parents else lane
        if len(node.parents) > 1:
            lines.append(Line(_part(lanes, lane, node.parents[1:]), None))
        while lanes and lanes[-1] is None:
            lanes.pop()
    return lines


def _part(lanes: list[bytes | None], lane: int, parents: Sequence[bytes]) -> str:
    """Lead lines from ``lane`` to the lanes of further parents, which are opened where there are none yet."""
    before = list(lanes)
    ends: dict[int, int] = {}
    for parent in parents:
        if parent in lanes and lanes.index(parent) != lane:
            ends[lanes.index(parent)] = UP | DOWN
        elif parent not in lanes:
            new = _free(lanes, right_of=lane)
            lanes[new] = parent
            ends[new] = DOWN
    return _connect([*before, *[None] * (len(lanes) - len(before))], lane, ends)


def _connect(lanes: Sequence[bytes | None], lane: int, ends: Mapping[int, int]) -> str:
    """A row that leads from ``lane`` to the lanes in ``ends``: the directions, up and down, that go on in each."""
    cells = [0] * (2 * len(lanes))
    for i, awaited in enumerate(lanes):
        cells[2 * i] = UP | DOWN if awaited is not None or i == lane else 0
    for end, vertical in ends.items():
        cells[2 * end] = vertical
    for end in ends:
        left, right = sorted((2 * lane, 2 * end))
        cells[left] |= RIGHT
        cells[right] |= LEFT
        for i in range(left + 1, right):
            cells[i] |= LEFT | RIGHT
    return "".join(SIGNS[cell] for cell in cells).rstrip()


def _pass(lanes: Sequence[bytes | None], lane: int, sign: str) -> str:
    """A node's row: its sign in its lane, the others pass by."""
    marks = [sign if i == lane else " " if awaited is None else "│" for i, awaited in enumerate(lanes)]
    return " ".join(marks).rstrip()


def _free(lanes: list[bytes | None], *, right_of: int = -1, avoid: int | None = None) -> int:
    """The first lane without a line, opened at the end when there is none."""
    for i in range(right_of + 1, len(lanes)):
        if lanes[i] is None and i != avoid:
            return i
    lanes.append(None)
    if len(lanes) - 1 == avoid:
        lanes.append(None)
    return len(lanes) - 1
