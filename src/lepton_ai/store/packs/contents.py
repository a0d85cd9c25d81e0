"""The tables of contents of many packs: asked for together where each question has a long way, read side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeAlias

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.contract import Blobs, BringingNear, PackInfo, Piece
from lepton_ai.store.packs.format import HEAD, Header, blob_name, headers
from lepton_ai.store.packs.reader import TAIL_READ, read_footer, scan
from lepton_ai.store.pipeline import Pool

AT_ONCE = 8
"""Packs that are read side by side."""
FEW = 4
"""Up to so many packs threads are not worth their start: a save meets one or two."""

Entry: TypeAlias = tuple[PackInfo, Iterator[tuple[int, Header]]]
"""A pack, and the offsets and headers of its objects."""


def contents(blobs: Blobs, packs: Sequence[PackInfo]) -> list[Entry]:
    """What is in packs by their footers, in a damaged one what can still be found; those that are gone are left out.

    Raises:
        TooNew, StorageFailed.
    """
    if len(packs) <= FEW:
        found = [_entry(blobs, info) for info in packs]
    else:
        if isinstance(blobs, BringingNear):
            blobs.bring_near(piece for info in packs for piece in _ends(info))
        with Pool(AT_ONCE) as pool:
            found = list(pool.map(partial(_entry, blobs), packs))
    return [entry for entry in found if entry is not None]


def _ends(info: PackInfo) -> Iterator[Piece]:
    """What reading a footer asks for first."""
    tail = min(info.size, TAIL_READ)
    yield Piece(blob_name(info.name), info.size - tail, tail)
    if tail < info.size:
        yield Piece(blob_name(info.name), 0, len(HEAD))


def _entry(blobs: Blobs, info: PackInfo) -> Entry | None:
    try:
        return info, headers(read_footer(blobs, info.name, info.size))
    except Damaged:
        return info, iter(list(scan(blobs, info.name, info.size)))
    except NotFound:  # dropped since the listing
        return None
