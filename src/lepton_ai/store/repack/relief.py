"""Which packs can be deleted after their contents were stored otherwise."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from itertools import islice

from lepton_ai.store.contract import Blobs
from lepton_ai.store.index import Index, Place
from lepton_ai.store.live import held_by, vanished
from lepton_ai.store.packs.reader import is_there
from lepton_ai.store.pipeline import Pool
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes

_AT_ONCE = 500

_Way = tuple[Place, ...]


def relieved(
    reader: Reader,
    blobs: Blobs,
    packs: Collection[str],
    roots: Collection[bytes],
    avoid: Collection[str],
    made: Container[tuple[str, int]],
) -> set[str]:
    """Those of ``packs`` that the ``roots`` can do without: without all of them and without ``avoid``.

    What is read instead of one of their objects is read now, to the end. Only forms that stand in ``made`` (packs and
    offsets) need not be: they were decoded and compared when they were made. What they stand on is read all the same.
    """
    held = {pack: ids for pack in packs if (ids := held_by(blobs, pack)) is not None}
    everything = set().union(*held.values())
    ways, stuck = _ways_of(reader.index, roots, everything, {*avoid, *packs})
    if stuck or vanished(blobs, ways.values()):
        reader.index.refresh()
        ways, stuck = _ways_of(reader.index, roots, everything, {*avoid, *packs})
    gone = vanished(blobs, ways.values())

    tails = {id_: _from_unmade(way, made) for id_, way in ways.items()}
    proven = _proven(reader, blobs, {tail for tail in tails.values() if tail})
    for id_, way in ways.items():
        if not gone.isdisjoint(place.pack for place in way) or (tails[id_] and tails[id_] not in proven):
            stuck.add(id_)
    return {pack for pack, ids in held.items() if stuck.isdisjoint(ids)}


def _from_unmade(way: list[Place], made: Container[tuple[str, int]]) -> _Way:
    """A way from the first form on that was not made just now."""
    at = next((at for at, place in enumerate(way) if (place.pack, place.offset) not in made), len(way))
    return tuple(way[at:])


def _proven(reader: Reader, blobs: Blobs, ways: set[_Way]) -> set[_Way]:
    """Those of the ways that can be read; damage that is found is remembered.

    Every step is checked, so that a way also proves those that it ends with: these are read by themselves only where
    it fails.
    """
    proven: set[_Way] = set()
    ended = {way[at:] for way in ways for at in range(1, len(way))}
    bad: set[Place] = set()
    with Pool() as pool:
        for part in (ways - ended, ways & ended):
            left = list(part - proven)
            for way, good in zip(left, pool.map(lambda way: reader.proves(way, bad), left), strict=True):
                if good:
                    proven.update(way[at:] for at in range(len(way)))
    marks = reader.index.marks()
    for place in bad:
        if is_there(blobs, place.pack):
            marks.setdefault(place.pack, set()).add((place.id, place.offset))
            reader.index.mark(place.pack, marks[place.pack])
    return proven


def _ways_of(
    index: Index, roots: Iterable[bytes], held: Container[bytes], avoid: Collection[str]
) -> tuple[dict[bytes, list[Place]], set[bytes]]:
    """For those of the ``held`` objects that the roots need, the way without ``avoid``; and those that have none.

    With those go all that they might be read through today: it must stay.
    """
    ways: dict[bytes, list[Place]] = {}
    stuck: set[bytes] = set()
    ids = iter(roots)
    while some := list(islice(ids, _AT_ONCE)):
        routes = Routes(index, avoid, sound=True)
        routes.prepare(some)
        for id_ in some:
            way = routes.route(id_)
            if way is None:
                stuck |= _below(id_, Routes(index))
            for at, place in enumerate(way or ()):
                if place.id in held and place.id not in ways:
                    ways[place.id] = (way or [])[at:]
    return ways, stuck


def _below(id_: bytes, routes: Routes) -> set[bytes]:
    """An object and everything that any of its forms stands on."""
    found, waiting = {id_}, [id_]
    while waiting:
        for place in routes.places(waiting.pop()):
            if place.base is not None and place.base not in found:
                found.add(place.base)
                waiting.append(place.base)
    return found
