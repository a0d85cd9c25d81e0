"""The way from an object to one that needs no base: which representations to open, cheapest first."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator

from lepton_ai.errors import Damaged
from lepton_ai.store.index import SHORT, Index, Place

_AT_ONCE = 500
_HEIGHTS = """
    SELECT substr(base, 1, 8), max(depth) FROM objects
    WHERE base IS NOT NULL AND substr(base, 1, 8) IN ({}) GROUP BY 1
"""


class Routes:
    """What is known about the representations of some objects and their bases; for one thread and one task.

    ``avoid`` names packs that must not be used; ``sound`` leaves out what is known to be damaged.
    """

    def __init__(self, index: Index, avoid: Collection[str] = (), *, sound: bool = False) -> None:
        self._index = index
        self._avoid = avoid
        self._sound = sound
        self._known: dict[bytes, list[Place]] = {}

    def prepare(self, ids: Iterable[bytes]) -> None:
        """Look many objects up at once, and their bases: one query for each step of the longest chain."""
        wanted = {id_ for id_ in ids if id_ not in self._known}
        while wanted:
            found = self._index.find(wanted)
            bases = set()
            for id_ in wanted:
                places = self._usable(found.get(id_, []))
                self._known[id_] = places
                if places and places[0].base is not None:
                    bases.add(places[0].base)
            wanted = bases - self._known.keys()

    def places(self, id_: bytes) -> list[Place]:
        """Every usable representation of one object, the cheapest first."""
        if id_ not in self._known:
            self._known[id_] = self._usable(self._index.find([id_]).get(id_, []))
        return self._known[id_]

    def _usable(self, places: list[Place]) -> list[Place]:
        if not self._avoid and not self._sound:
            return places
        return [
            place for place in places if place.pack not in self._avoid and not (self._sound and place.damaged)
        ]

    def forget(self) -> None:
        """Look everything up again: the index has changed."""
        self._known.clear()

    def route(self, target: bytes, bad: Container[Place] = ()) -> list[Place] | None:
        """Representations from ``target`` to a full one, each the base of the one before; None when there is no way.

        Bases that lead in a circle are passed over; ``bad`` ones as well.
        """
        path: list[Place] = []
        seen = {target}
        stack: list[Iterator[Place]] = [iter(self.places(target))]
        while stack:
            place = next(stack[-1], None)
            if place is None:
                stack.pop()
                if path:
                    path.pop()
            elif place in bad or place.base in seen:
                continue
            elif place.base is None:
                return [*path, place]
            else:
                path.append(place)
                seen.add(place.base)
                stack.append(iter(self.places(place.base)))
        return None

    def why_not(self, target: bytes) -> Damaged:
        """The error for an object that has no route."""
        name = target.hex()[:16]
        if not self.places(target):
            return Damaged(f"No pack holds the object {name}….", hint="see what is affected: lepton verify")
        return Damaged(f"The bases of the object {name}… are missing or lead in a circle.")


def heights(index: Index, ids: Collection[bytes]) -> dict[bytes, int]:
    """For each object how many differences stand on it one on another, as they said when they were written."""
    wanted, found = {id_[:SHORT]: id_ for id_ in ids}, dict[bytes, int]()
    short = list(wanted)
    for start in range(0, len(short), _AT_ONCE):
        part = short[start : start + _AT_ONCE]
        query = _HEIGHTS.format(",".join("?" * len(part)))
        found.update((wanted[base], height) for base, height in index.rows(query, part))
    return found


def doubled(index: Index) -> set[bytes]:
    """Objects that are stored in full and as a difference as well."""
    query = "SELECT id FROM objects GROUP BY id HAVING count(base) > 0 AND count(base) < count(*)"
    return {id_ for (id_,) in index.rows(query)}
