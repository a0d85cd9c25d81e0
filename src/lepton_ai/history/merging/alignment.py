"""Which lines of two texts are the same: anchors first, then the fewest edits between them.

Source: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

MOST_EDITS = 1000
"""Lines inserted and deleted between two anchors, above which all between them counts as changed."""

Block = tuple[int, int, int]
"""``length`` lines from ``i`` of the one text are those from ``j`` of the other."""


def matches(one: Sequence[str], other: Sequence[str]) -> list[Block]:
    """Runs of lines that both texts have, in order, neither overlapping nor crossing.

    Lines that occur once in both are anchors, and the longest series of them that does not cross is kept (patience
    difference); between anchors it goes on in the same way, and where there are none the fewest edits count. Time grows
    with n log n for texts whose lines differ, such as vocabularies.

    >>> matches(["a", "b", "c"], ["a", "x", "c"])
    [(0, 0, 1), (2, 2, 1)]
    """
    found: list[Block] = []
    gaps = [(0, len(one), 0, len(other))]
    while gaps:
        low, high, left, right = gaps.pop()
        start = _common(one[low:high], other[left:right])
        found += [(low, left, start)] if start else []
        low, left = low + start, left + start
        end = _common(one[low:high][::-1], other[left:right][::-1])
        high, right = high - end, right - end
        found += [(high, right, end)] if end else []
        if low == high or left == right:
            continue
        anchors = _anchors(one, other, (low, high, left, right))
        if anchors:
            gaps += _between(anchors, (low, high, left, right))
            found += [(i, j, 1) for i, j in anchors]
        else:
            found += [(low + i, left + j, 1) for i, j in _fewest_edits(one[low:high], other[left:right])]
    return _joined(sorted(found))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for mine, its in zip(one, other, strict=False):
        if mine != its:
            break
        count += 1
    return count


def _anchors(
    one: Sequence[str], other: Sequence[str], gap: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    """The longest series of lines that occur once on both sides of the gap and do not cross."""
    low, high, left, right = gap
    here, there = Counter(one[low:high]), Counter(other[left:right])
    places = {line: j for j, line in enumerate(other[left:right], left) if there[line] == 1}
    pairs = [
        (i, places[line]) for i, line in enumerate(one[low:high], low) if here[line] == 1 and line in places
    ]
    return _rising(pairs)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence whose second numbers grow (patience sorting)."""
    tops: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        before.append(last[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [j]
        last[pile : pile + 1] = [number]
    chosen: list[tuple[int, int]] = []
    at = last[-1] if last else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]


def _between(
    anchors: list[tuple[int, int]], gap: tuple[int, int, int, int]
) -> Iterator[tuple[int, int, int, int]]:
    low, high, left, right = gap
    for i, j in [*anchors, (high, right)]:
        if low < i and left < j:
            yield low, i, left, j
        low, left = i + 1, j + 1


def _fewest_edits(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of equal lines along the shortest way from the one to the other; none when it is too long."""
    furthest = {1: 0}
    ways: list[dict[int, int]] = []
    for edits in range(min(len(one) + len(other), MOST_EDITS) + 1):
        ways.append({k: furthest[k] for k in range(-edits - 1, edits + 2) if k in furthest})
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
            i = furthest[k + 1] if down else furthest[k - 1] + 1
            while i < len(one) and i - k < len(other) and one[i] == other[i - k]:
                i += 1
            furthest[k] = i
            if i >= len(one) and i - k >= len(other):
                return _way_back(ways, i, i - k)
    return []


def _way_back(ways: list[dict[int, int]], i: int, j: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for edits in range(len(ways) - 1, -1, -1):
        k, before = i - j, ways[edits]
        down = k == -edits or (k != edits and before[k - 1] < before[k + 1])
        came = k + 1 if down else k - 1
        at = before[came] if edits else 0
        start = at if down else at + 1
        start = start if edits else 0
        pairs += [(x, x - k) for x in range(i - 1, start - 1, -1)]
        i, j = at, at - came
    return pairs[::-1]


def _joined(blocks: list[Block]) -> list[Block]:
    """Neighbouring runs as one."""
    result: list[Block] = []
    for i, j, length in blocks:
        if result:
            before = result[-1]
            if before[0] + before[2] == i and before[1] + before[2] == j:
                result[-1] = (before[0], before[1], before[2] + length)
                continue
        result.append((i, j, length))
    return result
