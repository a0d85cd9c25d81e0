"""Objects of packs in groups that are read in one go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lepton_ai.store.index import Place

CHUNK = 8 << 20
"""Bytes that are read together."""


def runs(places: Iterable[Place], gap: int = 0) -> Iterator[list[Place]]:
    """The places in groups that follow each other in a pack, with at most ``gap`` bytes between, up to a few MiB."""
    group: list[Place] = []
    for place in sorted(places, key=lambda place: (place.pack, place.offset)):
        last = group[-1] if group else None
        near = last is not None and last.pack == place.pack and (
            0 <= place.offset - last.offset - last.length <= gap
            and place.offset + place.length - group[0].offset <= CHUNK
        )  # fmt: skip
        if not near and group:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
