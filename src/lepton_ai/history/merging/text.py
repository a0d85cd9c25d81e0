"""Three-way merge of text files: line by line, and by key where a JSON file allows more.

Source: S. Khanna, K. Kunal, B. C. Pierce, "A Formal Investigation of Diff3", FSTTCS 2007.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeVar

import msgspec

from lepton_ai.history.merging import json_keys
from lepton_ai.history.merging.alignment import Block, matches

LARGEST = 64 << 20
"""Bytes; larger files are not merged as text."""

T = TypeVar("T")
_NEVER_IN_TEXT = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")

Outcome = Literal["same", "ours", "theirs", "lines", "keys", "conflict", "binary"]


class MergedText(msgspec.Struct, frozen=True):
    """What came of a file.

    ``outcome``: both are the same, only ours or theirs changed, merged by lines or by keys, a conflict (``data`` has
    its markers, ``hunks`` says how many), or binary on a side and changed on both (``data`` is ours).
    ``keys`` are the JSON keys on which both sides disagree, as far as they are the reason.
    """

    data: bytes
    outcome: Outcome
    hunks: int = 0
    keys: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is left to decide."""
        return self.outcome not in ("conflict", "binary")


class Labels(NamedTuple):
    """What stands behind the conflict markers."""

    ours: str = "ours"
    base: str = "base"
    theirs: str = "theirs"


def is_text(data: bytes) -> bool:
    """Whether these bytes can be merged line by line: no control characters that texts do not have, and not huge."""
    return len(data) <= LARGEST and _NEVER_IN_TEXT.search(data) is None


def has_markers(data: bytes) -> bool:
    """Whether there are the markers of a conflict that nobody has decided yet."""
    found = [line[:8] for line in data.splitlines()] if is_text(data) else []
    return b"<<<<<<< " in found and b">>>>>>> " in found


def merge(base: bytes | None, ours: bytes, theirs: bytes, labels: Labels = Labels()) -> MergedText:  # noqa: B008  (frozen)
    """Merge two files that came from ``base`` (None: both added it).

    Whichever side alone changed is taken as it is. How lines end, and whether the last one does, are merged like
    everything else, so that converting line ends does not touch every line. A file that is JSON on all sides stays
    JSON: where the merge by lines conflicts, or would break it, it is merged by its keys.
    """
    if ours == theirs:
        return MergedText(ours, "same")
    if base in (ours, theirs):
        return MergedText(theirs, "theirs") if ours == base else MergedText(ours, "ours")
    if not all(is_text(data) for data in (base or b"", ours, theirs)):
        return MergedText(ours, "binary")
    return _both_changed(base, ours, theirs, labels)


def _both_changed(base: bytes | None, ours: bytes, theirs: bytes, labels: Labels) -> MergedText:
    by_line = _by_lines(base, ours, theirs, labels)
    trees = json_keys.trees(base, ours, theirs)
    if trees is None or (by_line.clean and json_keys.is_sound(by_line.data)):
        return by_line
    by_key = json_keys.merge(trees)
    if not by_key.clashes:
        return MergedText(by_key.data, "keys")
    if by_line.clean:  # every line fits, and yet it would be no JSON any more
        return MergedText(_all_of_it(base, ours, theirs, labels), "conflict", 1, by_key.clashes)
    return MergedText(by_line.data, "conflict", by_line.hunks, by_key.clashes)


class _Lines(NamedTuple):
    """A text without the ends of its lines; None where it does not say how they end."""

    lines: list[str]
    end: str | None
    closed: bool | None


def _by_lines(base: bytes | None, ours: bytes, theirs: bytes, labels: Labels) -> MergedText:
    old, mine, its = (_split(data) for data in (base or b"", ours, theirs))
    end = _three(old.end, mine.end, its.end, "\n") or "\n"
    closed = _three(old.closed, mine.closed, its.closed, True)
    result: list[str] = []
    hunks, open_end = 0, closed is False
    for hunk in (
        _hunks(old.lines, mine.lines, its.lines) if base is not None else _added(mine.lines, its.lines)
    ):
        chosen = _chosen(hunk)
        result += _marked(hunk, labels, ancestor=base is not None) if chosen is None else chosen
        hunks += chosen is None
        open_end = closed is False and chosen is not None  # a marker is a line of its own
    text = end.join(result) + (end if result and not open_end else "")
    data = text.encode("utf-8", "surrogateescape")
    return MergedText(data, "conflict" if hunks else "lines", hunks)


def _all_of_it(base: bytes | None, ours: bytes, theirs: bytes, labels: Labels) -> bytes:
    """The whole file as one conflict."""
    old, mine, its = (_split(data) for data in (base or b"", ours, theirs))
    end = _three(old.end, mine.end, its.end, "\n") or "\n"
    lines = _marked(_Hunk(old.lines, mine.lines, its.lines), labels, ancestor=base is not None)
    return (end.join(lines) + end).encode("utf-8", "surrogateescape")


def _split(data: bytes) -> _Lines:
    text = data.decode("utf-8", "surrogateescape")
    if not text:
        return _Lines([], None, None)
    breaks, windows = text.count("\n"), text.count("\r\n")
    end = None if not breaks else "\r\n" if breaks == windows else "\n"
    lines = text.split(end or "\n")
    closed = lines[-1] == ""
    return _Lines(lines[:-1] if closed else lines, end, closed)


def _three(old: T, mine: T, its: T, usual: T) -> T:
    """What one side changed, or both alike; ``usual`` where they differ. None says nothing."""
    if mine == its or its in (old, None):
        return mine if mine is not None else its
    return its if mine in (old, None) else usual


class _Hunk(NamedTuple):
    base: list[str]
    ours: list[str]
    theirs: list[str]


def _hunks(old: list[str], mine: list[str], its: list[str]) -> Iterator[_Hunk]:
    """Turns of lines that all three have and lines that they do not, from the first to the last."""
    to_mine, to_its = _places(matches(old, mine)), _places(matches(old, its))
    at = at_mine = at_its = 0
    while at < len(old) or at_mine < len(mine) or at_its < len(its):
        stop = at
        while to_mine.get(stop) == at_mine + stop - at and to_its.get(stop) == at_its + stop - at:
            stop += 1
        if stop > at:
            yield _Hunk(old[at:stop], old[at:stop], old[at:stop])
            at, at_mine, at_its = stop, at_mine + stop - at, at_its + stop - at
            continue
        stop = next((i for i in range(at, len(old)) if i in to_mine and i in to_its), len(old))
        mine_stop, its_stop = to_mine.get(stop, len(mine)), to_its.get(stop, len(its))
        yield _Hunk(old[at:stop], mine[at_mine:mine_stop], its[at_its:its_stop])
        at, at_mine, at_its = stop, mine_stop, its_stop


def _places(blocks: list[Block]) -> dict[int, int]:
    return {i + step: j + step for i, j, length in blocks for step in range(length)}


def _added(mine: list[str], its: list[str]) -> Iterator[_Hunk]:
    """The same for two files without an ancestor: what they share is not in conflict."""
    at_mine = at_its = 0
    for i, j, length in [*matches(mine, its), (len(mine), len(its), 0)]:
        if at_mine < i or at_its < j:
            yield _Hunk([], mine[at_mine:i], its[at_its:j])
        yield _Hunk(mine[i : i + length], mine[i : i + length], mine[i : i + length])
        at_mine, at_its = i + length, j + length


def _chosen(hunk: _Hunk) -> list[str] | None:
    if hunk.ours in (hunk.theirs, hunk.base):
        return hunk.theirs
    return hunk.ours if hunk.theirs == hunk.base else None


def _marked(hunk: _Hunk, labels: Labels, *, ancestor: bool) -> list[str]:
    base = [f"||||||| {labels.base}", *hunk.base] if ancestor else []
    return [f"<<<<<<< {labels.ours}", *hunk.ours, *base, "=======", *hunk.theirs, f">>>>>>> {labels.theirs}"]
