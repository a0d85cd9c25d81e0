"""What is still needed, and moving it together: the store's half of garbage collection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.contract import Blobs, PackUse
from lepton_ai.store.copying import Packing
from lepton_ai.store.index import Index, Place
from lepton_ai.store.packs.format import blob_name, headers
from lepton_ai.store.packs.reader import is_there, read_footer, scan
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes

_AT_ONCE = 500

COPIED = 4
"""Bytes that may be copied for each byte that is freed in all."""

WORTH = 16
"""The same for any one pack: none is copied for the sake of a few bytes."""


class Spare(NamedTuple):
    """Packs whose every object has another way, and packs that are worth copying what has none (``lone``)."""

    whole: tuple[str, ...]
    partly: tuple[str, ...]
    lone: frozenset[bytes]


def spare(index: Index, superseded: Iterable[bytes], avoid: Collection[str] = ()) -> Spare:
    """What may be freed of the packs that hold ``superseded`` objects in full, without asking who needs them."""
    held = {
        place.pack
        for places in index.find(superseded).values()
        for place in places
        if place.base is None and place.pack not in avoid
    }
    routes = Routes(index, {*avoid, *held}, sound=True)
    whole: list[str] = []
    mixed: list[tuple[int, int, str, list[bytes]]] = []
    freed = 0
    for pack in sorted(held):
        places = index.objects(pack)
        routes.prepare(place.id for place in places)
        lone = [place for place in places if routes.route(place.id) is None]
        live = sum(place.length for place in lone)
        dead = sum(place.length for place in places) - live
        if not lone:
            whole.append(pack)
            freed += dead
        elif dead and not any(place.damaged for place in lone):
            mixed.append((live, dead, pack, [place.id for place in lone]))
    partly: list[str] = []
    kept: set[bytes] = set()
    copied = 0
    for live, dead, pack, ids in sorted(mixed, key=lambda m: m[0] / m[1]):
        if live <= WORTH * dead and copied + live <= COPIED * (freed + dead):
            copied, freed = copied + live, freed + dead
            partly.append(pack)
            kept.update(ids)
    return Spare(tuple(whole), tuple(partly), frozenset(kept))


def independent(
    reader: Reader, blobs: Blobs, packs: Collection[str], avoid: Collection[str], trusted: Collection[str]
) -> list[str]:
    """Those of ``packs`` whose every object can be read without them and without ``avoid``.

    These are the last other copies, so nothing is left to the index: what a pack holds its own footer says, what is
    relied on instead must be there, and it is read, unless it lies in the packs ``trusted``, which were just written.
    """
    found = _ways_round(reader, blobs, packs, avoid)
    gone = vanished(blobs, chain.from_iterable(found.values()))
    if gone:
        reader.index.refresh()
        found = _ways_round(reader, blobs, packs, avoid)
        gone = vanished(blobs, chain.from_iterable(found.values()))

    def holds(way: list[Place]) -> bool:
        on_the_way = {place.pack for place in way}
        return not gone & on_the_way and (on_the_way <= set(trusted) or reader.proves(way))

    return [pack for pack, ways in found.items() if all(holds(way) for way in ways)]


def vanished(blobs: Blobs, ways: Iterable[list[Place]]) -> set[str]:
    """The packs on the ways that are not there any more."""
    relied = {place.pack for way in ways for place in way}
    return {pack for pack in relied if not is_there(blobs, pack)}


def _ways_round(
    reader: Reader, blobs: Blobs, packs: Collection[str], avoid: Collection[str]
) -> dict[str, list[list[Place]]]:
    """The packs that can be done without, each with the ways that its objects have instead."""
    routes = Routes(reader.index, {*avoid, *packs}, sound=True)
    found = {}
    for pack in packs:
        ids = held_by(blobs, pack)
        if ids is None:
            continue
        routes.prepare(ids)
        ways = [routes.route(id_) for id_ in ids]
        if all(ways):
            found[pack] = [way for way in ways if way]
    return found


def held_by(blobs: Blobs, pack: str) -> set[bytes] | None:
    """The objects of a pack, by its own footer; none when the pack is gone, None when the footer cannot be read."""
    try:
        return {
            header.id for _, header in headers(read_footer(blobs, pack, blobs.info(blob_name(pack)).size))
        }
    except NotFound:
        return set()
    except Damaged:
        return None


def found_in(blobs: Blobs, pack: str) -> set[bytes]:
    """The same, walking from object to object where the footer is lost."""
    held = held_by(blobs, pack)
    if held is not None:
        return held
    try:
        return {header.id for _, header in scan(blobs, pack, blobs.info(blob_name(pack)).size)}
    except NotFound:
        return set()


def strangers(index: Index, roots: Iterable[bytes]) -> set[str]:
    """Packs that hold none of the ``roots``: what nobody refers to, or not yet."""
    known: set[str] = set()
    ids = iter(roots)
    while some := list(islice(ids, _AT_ONCE)):
        known.update(place.pack for places in index.find(some).values() for place in places)
    return {info.name for info in index.packs()} - known


def needed(index: Index, roots: Iterable[bytes], avoid: Collection[str] = ()) -> Iterator[Place]:
    """One representation of every root and of every base on the way, each once: those that a reader would choose.

    Other representations of the same objects are garbage; those in the packs ``avoid`` are chosen only where there is
    no other way. Roots that no pack holds are passed over.
    """
    seen: set[bytes] = set()
    ids = iter(roots)
    while some := list(islice(ids, _AT_ONCE)):
        routes = Routes(index, avoid)
        routes.prepare(id_ for id_ in some if id_ not in seen)
        for id_ in some:
            way = None if id_ in seen else routes.route(id_)
            if way is None and avoid and id_ not in seen:
                way = Routes(index).route(id_)
            for place in way or ():
                if place.id not in seen:
                    seen.add(place.id)
                    yield place


def use(index: Index, roots: Iterable[bytes], avoid: Collection[str] = ()) -> list[PackUse]:
    """How much of each pack is needed, oldest pack first."""
    found: dict[str, tuple[int, int, int]] = {}
    for place in needed(index, roots, avoid):
        size, count, lost = found.get(place.pack, (0, 0, 0))
        found[place.pack] = (size + place.length, count + 1, lost + place.damaged)
    frames, marks = index.frames(), index.marks()
    result = []
    for info in index.packs():
        size, count, lost = found.get(info.name, (0, 0, 0))
        live = size + frames[info.name] if count else 0
        spoiled = len(marks.get(info.name, ())) - lost
        rest = (info.size - live, count, info.objects, info.written_at, spoiled, lost)
        result.append(PackUse(info.name, info.size, live, *rest))
    return result


def drop(index: Index, blobs: Blobs, packs: Iterable[str]) -> None:
    """Delete packs for good.

    Out of the index first: whoever looks an object up from now on is not led to a pack that may be gone. Then the packs
    themselves; until that is done the index remembers their names, so that no refresh enters them again. A call
    that died is completed by the next one.
    """
    names = sorted({*packs, *index.dropped()})
    if not names:
        return
    index.forget(names, dropped=True)
    blobs.delete(blob_name(name) for name in names)
    index.undrop(names)


def size_of(index: Index, packs: Iterable[str]) -> int:
    """Bytes of those of the packs that the index knows."""
    return sum(
        size for name in packs for (size,) in index.rows("SELECT size FROM packs WHERE name = ?", (name,))
    )


def compact(
    reader: Reader,
    blobs: Blobs,
    temporary: Path,
    packs: Iterable[str],
    roots: Iterable[bytes],
    avoid: Collection[str] = (),
) -> tuple[str, ...]:
    """Copy what is needed of ``packs`` into new ones, as stored; each object's seal is checked on the way."""
    names = set(packs)
    unknown = names - {info.name for info in reader.index.packs()}
    if unknown:
        raise NotFound(f"There is no pack {min(unknown)}.")
    places = sorted(
        (place for place in needed(reader.index, roots, avoid) if place.pack in names),
        key=lambda place: (place.pack, place.offset),
    )
    with Packing(reader, blobs, temporary) as packing:
        packing.copy(places, lambda _: False)
        return tuple(info.name for info in packing.finish())
