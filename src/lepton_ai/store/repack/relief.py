"""Which packs can be deleted after their contents were stored otherwise."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from itertools import islice

from lepton_ai.store.contract import Blobs
from lepton_ai.store.index import Index, Place
from lepton_ai.store.live import held_by, vanished
from lepton_ai.store.pipeline import Pool
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes

_AT_ONCE = 500


def relieved(
    reader: Reader,
    blobs: Blobs,
    packs: Collection[str],
    roots: Collection[bytes],
    avoid: Collection[str],
    trusted: Collection[str],
) -> set[str]:
    """Those of ``packs`` that the ``roots`` can do without: without all of them and without ``avoid``.

    What is read instead of one of their objects is read now, unless it lies in packs that are ``trusted``: these were
    made of what they replace.
    """
    held = {pack: ids for pack in packs if (ids := held_by(blobs, pack)) is not None}
    everything = set().union(*held.values())
    ways, stuck = _ways_of(reader.index, roots, everything, {*avoid, *packs})
    if stuck or vanished(blobs, ways.values()):
        reader.index.refresh()
        ways, stuck = _ways_of(reader.index, roots, everything, {*avoid, *packs})
    gone = vanished(blobs, ways.values())

    def holds(way: list[Place]) -> bool:
        return gone.isdisjoint(place.pack for place in way) and (way[0].pack in trusted or reader.proves(way))

    with Pool() as pool:
        answers = pool.map(holds, ways.values())
        stuck.update(id_ for id_, good in zip(ways, answers, strict=True) if not good)
    return {pack for pack, ids in held.items() if stuck.isdisjoint(ids)}


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
