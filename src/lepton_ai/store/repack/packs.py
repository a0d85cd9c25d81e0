"""Which packs to write anew: those with much garbage, and small ones together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lepton_ai.store.index import Place
from lepton_ai.store.pipeline import portions
from lepton_ai.store.repack.survey import Survey

GARBAGE = 0.2
"""The part of a pack that may be garbage before it is written anew."""

MIDWAY = 0.5
"""The same while more is to come: what is copied then may have to be copied again."""

SMALL = 16 << 20
"""A pack of fewer bytes is put together with others."""

MANY_HEADS = 8
"""From so many small packs on, those of blocks that the next save makes needless are put together too."""

GROUP = 1 << 30
"""Bytes that are copied before what they replace is deleted."""


class Pack(NamedTuple):
    """What becomes of a pack: bytes that stay needed (``live``, with the frame) and that do not (``dead``).

    ``heads`` of the needed objects' bytes are made needless by a later save, ``rest`` are the others.
    """

    name: str
    size: int
    live: int
    dead: int
    heads: int
    rest: int


class Sorting:
    """Packs by what a plan leaves of them. ``target`` is the form that stays of every needed object."""

    def __init__(self, survey: Survey, target: Mapping[bytes, Place], heads: frozenset[bytes]) -> None:
        self._survey, self._target, self._heads = survey, target, heads
        self._live: dict[str, list[Place]] = {name: [] for name in survey.packs}
        for place in target.values():
            if place.pack in self._live:
                self._live[place.pack].append(place)
        self._known: set[str] = set()
        self._stale: set[str] = set()
        """Packs with forms that were just replaced, or that a reader, or gc, would take for better than a key frame."""
        for id_, now in survey.now.items():
            chosen = target.get(id_)  # None: others stood on it, and do so no more
            for form in survey.forms.get(id_, ()):
                self._known.add(form.place.pack)
                better = chosen is not None and chosen.base is None and form.base is not None
                if form.place != chosen and (now != chosen or better):
                    self._stale.add(form.place.pack)

    def is_head(self, place: Place) -> bool:
        """Whether the next save makes it needless."""
        return place.base is None and place.id in self._heads

    def packs(self) -> list[Pack]:
        """All that may be touched, the oldest first."""
        return [pack for pack in self.every() if pack.name not in self._survey.fixed and self._is_ours(pack)]

    def every(self) -> list[Pack]:
        """All there are."""
        return [self._pack(name, info.size) for name, info in self._survey.packs.items()]

    def _pack(self, name: str, size: int) -> Pack:
        total = sum(place.length for place in self._live[name])
        heads = sum(place.length for place in self._live[name] if self.is_head(place))
        live = total + self._survey.frames.get(name, 0) if total else 0
        return Pack(name, size, live, size - live, heads, total - heads)

    def _is_ours(self, pack: Pack) -> bool:
        """Whether it holds, or held, anything needed; what else there is, gc knows the age of."""
        return bool(pack.live) or pack.name in self._known

    def untidy(self, *, garbage: float = GARBAGE, merge: bool = True) -> list[Pack]:
        """The packs to be written anew."""
        packs = self.packs()
        chosen = {p for p in packs if p.dead > garbage * p.size or p.name in self._stale}
        for heads, least in ((False, 2), (True, MANY_HEADS), (False, 2)) if merge else ():
            small = {p for p in packs if p.size < SMALL and (p.heads > p.rest) == heads}
            parts = small | {p for p in chosen if (p.heads if heads else p.rest)}
            if len(parts) >= least:
                chosen |= small
        return [pack for pack in packs if pack in chosen]

    def planned(self) -> list[Place]:
        """Forms that are still to be written."""
        return [place for place in self._target.values() if place.pack not in self._live]

    def contents(self, packs: list[Pack]) -> list[Place]:
        """What is to be copied of these packs, in their order."""
        return [place for p in packs for place in sorted(self._live[p.name], key=lambda place: place.offset)]


def groups(packs: list[Pack]) -> Iterator[list[Pack]]:
    """Packs that are written anew together."""
    return portions(packs, lambda pack: pack.live, GROUP)
