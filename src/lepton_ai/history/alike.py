"""Tensors of unknown lineage: which of them resemble each other, by sketches made of what is stored.

A save looks for the like of a tensor in the index's sketches. A repack finds what was missed then: sketches go with the
index, and what was saved first could not find what came later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.progress import Progress
from lepton_ai.store.blocks.span import block_sizes
from lepton_ai.store.contract import Stream
from lepton_ai.store.sketches import ALIKE, SMALLEST, Read, can_sketch, likeness, sketch
from lepton_ai.store.store import Store

_KEY = bytes(32)
"""These sketches are not kept: they need no secret."""

MOST = 4096
"""Tensors of one type and length that are compared with each other at most."""


class Alone(NamedTuple):
    """A tensor that has no counterpart in what its ``version`` came from."""

    version: bytes
    stream: Stream
    block_size: int


def alike(store: Store, tensors: Iterable[Alone], progress: Progress) -> Iterator[tuple[bytes, bytes]]:
    """Blocks in the same place of tensors that resemble each other: of each and the most similar one before it."""
    groups: dict[tuple[str, int, int], dict[bytes, Alone]] = {}
    for one in tensors:
        stream = one.stream
        if stream.length >= SMALLEST and can_sketch(stream.dtype):
            kind = (stream.dtype, stream.length, one.block_size)
            groups.setdefault(kind, {}).setdefault(stream.blocks, one)
    todo = [list(group.values())[:MOST] for group in groups.values()]
    todo = [group for group in todo if len({one.version for one in group}) > 1]
    progress.start("comparing tensors", sum(one.stream.length for group in todo for one in group))
    for group in todo:
        seen: list[tuple[Alone, bytes]] = []
        for one in group:
            with suppress(Damaged):  # then it has no like
                mine = sketch(_read(store, one), 0, one.stream.length, one.stream.dtype, _KEY)
                best = _best(one, mine, seen)
                if best is not None:
                    yield from zip(one.stream.ids, best.stream.ids, strict=True)
                seen.append((one, mine))
            progress.advance(one.stream.length)


def _best(one: Alone, mine: bytes, seen: list[tuple[Alone, bytes]]) -> Alone | None:
    """The most similar tensor of another version."""
    found = [
        (likeness(mine, other), place)
        for place, (old, other) in enumerate(seen)
        if old.version != one.version
    ]
    most, place = max(found, default=(0.0, 0))
    return seen[place][0] if most > ALIKE else None


def _read(store: Store, one: Alone) -> Read:
    """Reading anywhere in a tensor; the last block is kept for the next call."""
    starts, ids = block_sizes(one.stream, one.block_size), one.stream.ids
    held: dict[int, bytes] = {}

    def block(number: int) -> bytes:
        if number not in held:
            held.clear()
            held[number] = store.get(ids[number])
        return held[number]

    def read(offset: int, length: int) -> bytes:
        data = b""
        while len(data) < length:
            number = bisect_right(starts, offset + len(data)) - 1
            at = offset + len(data) - starts[number]
            data += block(number)[at : at + length - len(data)]
        return data

    return read
