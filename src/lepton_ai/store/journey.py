"""Objects on their way to another store that has the same keys: which form of each travels, and the packs for it.

A stored object travels as it is. A difference travels when the receiver has its base or gets it along. Where a save
turned a difference round (the older block stands on the newer one, decision 0004), the receiver has the older one in
full: then the newer one is coded as a difference to that, for the journey.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from pathlib import Path
from typing import NamedTuple

from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.codecs.choice import edge, full
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.coder import Block, gives_back, sealed
from lepton_ai.store.contract import Blobs
from lepton_ai.store.index import Index, Place
from lepton_ai.store.packs.format import BLOCK, LARGEST_HEADER, blob_name, unpack_header
from lepton_ai.store.packs.writer import PackWriter
from lepton_ai.store.pipeline import Pool, portions
from lepton_ai.store.publish import publish
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes
from lepton_ai.store.runs import CHUNK, runs
from lepton_ai.store.seal.contract import Seal

PACK = 64 << 20
"""Bytes of a pack that is made for a journey: several travel side by side."""
_AT_ONCE = 500
_STANDING = "SELECT id, base FROM objects WHERE base IS NOT NULL AND substr(base, 1, 8) IN ({})"

Lacks = Callable[[set[bytes]], set[bytes]]
"""Those of some objects that the receiver cannot read."""


class Anew(NamedTuple):
    """An object to be coded as a difference to ``base``, which the receiver has by then; ``place`` is a stored form.

    ``cost`` is about what it will take, in bytes.
    """

    place: Place
    base: bytes
    cost: int


class Load(NamedTuple):
    """What travels: stored forms, and blocks that are coded anew."""

    places: tuple[Place, ...]
    anew: tuple[Anew, ...]

    @property
    def bytes(self) -> int:
        """About what all of it takes."""
        return sum(place.length for place in self.places) + sum(each.cost for each in self.anew)


class _Way(NamedTuple):
    """A form in which an object could travel; ``anew``: it is not stored so. ``cost`` in bytes."""

    cost: int
    place: Place
    base: bytes | None
    anew: bool


def choose(
    index: Index, wanted: Collection[bytes], lacks: Lacks, avoid: Collection[str] = (), *, recode: bool
) -> Load:
    """The cheapest forms of the objects ``wanted`` (which the receiver lacks) from which it can read them all.

    ``recode``: stored forms may be coded anew. Bases that the receiver lacks travel along.

    Raises:
        Damaged: no pack holds one of them.
    """
    missing = set(wanted)
    if len(index.find(missing)) < len(missing):  # perhaps in packs that came since
        index.refresh()
    ways = _ways(index, missing, lacks, avoid, recode=recode)
    tried = (_by_size(ways), _by_reach(ways, missing))
    chosen = min(tried, key=lambda found: (-len(found), sum(way.cost for way in found.values())))
    routes = Routes(index, avoid, sound=True)
    for id_ in missing - chosen.keys():  # their bases are nobody's any more: they come along
        route = routes.route(id_)
        if route is None:
            raise routes.why_not(id_)
        for place in route:
            chosen[place.id] = _Way(place.length, place, place.base, anew=False)
    return Load(tuple(way.place for way in chosen.values() if not way.anew), tuple(_in_families(chosen)))


def _by_size(ways: list[_Way]) -> dict[bytes, _Way]:
    """A way for each object: the cheapest of all first, if no circle comes of it."""
    chosen: dict[bytes, _Way] = {}
    for way in sorted(ways, key=lambda way: (way.cost, way.anew)):
        id_ = way.place.id
        if id_ not in chosen and not _leads_to(chosen, way.base, id_):
            chosen[id_] = way
    return chosen


def _by_reach(ways: list[_Way], missing: set[bytes]) -> dict[bytes, _Way]:
    """A way for each object: the cheapest first of those whose base the receiver has, or has by then (Prim's tree)."""
    upon: dict[bytes | None, list[_Way]] = {}
    for way in ways:
        upon.setdefault(way.base if way.base in missing else None, []).append(way)
    number = count()
    reached = [(way.cost, way.anew, next(number), way) for way in upon.get(None, ())]
    heapify(reached)
    chosen: dict[bytes, _Way] = {}
    while reached:
        way = heappop(reached)[-1]
        if way.place.id not in chosen:
            chosen[way.place.id] = way
            for more in upon.get(way.place.id, ()):
                heappush(reached, (more.cost, more.anew, next(number), more))
    return chosen


def _in_families(chosen: dict[bytes, _Way]) -> Iterator[Anew]:
    """What is coded anew: those that stand on each other together, each after its base; else as they are stored."""
    families: dict[bytes, list[tuple[int, _Way]]] = {}
    for way in chosen.values():
        if not way.anew or way.base is None:
            continue
        root, steps = way.base, 0
        while (below := chosen.get(root)) is not None and below.anew and below.base is not None:
            root, steps = below.base, steps + 1
        families.setdefault(root, []).append((steps, way))
    ordered = [sorted(family, key=lambda each: each[0]) for family in families.values()]
    for family in sorted(ordered, key=lambda family: family[-1][1].place[1:3]):  # by pack and offset
        for _, way in family:
            if way.base is not None:
                yield Anew(way.place, way.base, way.cost)


def _leads_to(chosen: dict[bytes, _Way], start: bytes | None, target: bytes) -> bool:
    """Whether the way from ``start`` along the chosen bases comes to ``target``."""
    while start is not None:
        if start == target:
            return True
        way = chosen.get(start)
        start = way.base if way is not None else None
    return False


def _ways(
    index: Index, missing: set[bytes], lacks: Lacks, avoid: Collection[str], *, recode: bool
) -> list[_Way]:
    """Every form that the receiver could read once the other wanted ones are there."""
    found = index.find(missing)
    places = [
        place for all_ in found.values() for place in all_ if place.pack not in avoid and not place.damaged
    ]
    standing = list(_standing(index, missing)) if recode else []
    outside = {place.base for place in places if place.base is not None} | {id_ for id_, _ in standing}
    outside -= missing
    has = outside - lacks(outside) if outside else set()
    usable = [place for place in places if place.base is None or place.base in missing or place.base in has]
    ways = [_Way(place.length, place, place.base, anew=False) for place in usable]
    some = {place.id: place for place in places} | {place.id: place for place in places if place.base is None}
    older = index.find({id_ for id_, base in standing if base in some and (id_ in has or id_ in missing)})
    for id_, base in standing:
        lengths = [place.length for place in older.get(id_, ()) if place.base == base]
        in_full = some[base].base is None if lengths else False
        if lengths and not (in_full and min(lengths) >= some[base].length):
            ways.append(_Way(min(lengths), some[base], id_, anew=True))
    return ways


def _standing(index: Index, ids: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Objects that are stored as differences to ``ids``, each with its base."""
    wanted = {id_[:8]: id_ for id_ in ids}
    short = list(wanted)
    for start in range(0, len(short), _AT_ONCE):
        part = short[start : start + _AT_ONCE]
        for id_, base in index.rows(_STANDING.format(",".join("?" * len(part))), part):
            if base in ids:
                yield id_, base


class Traffic:
    """Objects of one store on their way to another, and those that come. ``temporary`` is for packs that stay here."""

    def __init__(self, reader: Reader, blobs: Blobs, seal: Seal, temporary: Path) -> None:
        self._reader, self._blobs, self._seal, self.temporary = reader, blobs, seal, temporary

    def choose(
        self, wanted: Collection[bytes], lacks: Lacks, *, avoid: Collection[str] = (), recode: bool = True
    ) -> Load:
        """In which form the objects ``wanted`` travel to whoever ``lacks`` them; see :func:`choose`."""
        self._reader.index.refresh()  # others may have brought them, or stored them otherwise, a moment ago
        return choose(self._reader.index, wanted, lacks, avoid, recode=recode)

    def bases(self, ids: Collection[bytes]) -> set[bytes]:
        """Objects that those of ``ids`` are stored as differences to, or the other way round."""
        index = self._reader.index
        places = [place for all_ in index.find(ids).values() for place in all_]
        found = {place.base for place in places if place.base is not None}
        standing = _standing(index, {place.id for place in places if place.base is None})
        return (found | {id_ for id_, _ in standing}) - set(ids)

    def sizes(self) -> dict[str, int]:
        """Bytes of every pack that is known."""
        return {info.name: info.size for info in self._reader.index.packs()}

    def take(self, pack: PackWriter) -> None:
        """Make a pack from elsewhere durable here, and enter it.

        Raises:
            NoSpace, StorageFailed.
        """
        publish([pack], self._blobs, self._reader.index)

    def check(self, place: Place, data: bytes) -> tuple[bytes, bytes]:
        """Header and body of an object that came, as it stands at ``place`` elsewhere.

        Raises:
            Damaged: it is not what was stored.
        """
        header, _ = self._reader.unseal(place, memoryview(data))
        return data[: header.header_size], data[header.header_size :]

    def packs(self, load: Load, folder: Path, progress: Progress = SILENT) -> Iterator[PackWriter]:
        """Packs of what travels, in ``folder``, one after the other; whoever gets one publishes or discards it.

        Raises:
            Damaged: a stored object is not what was stored.
            NoSpace, StorageFailed.
        """
        writer: PackWriter | None = None
        try:
            for header, *body in self._objects(load, progress):
                writer = writer or PackWriter(folder, PACK)
                writer.append(header, *body)
                if writer.full:
                    writer.flush()
                    done, writer = writer, None
                    yield done
            if writer is not None:
                writer.flush()
                done, writer = writer, None
                yield done
        finally:
            if writer is not None:
                writer.discard()

    def _objects(self, load: Load, progress: Progress) -> Iterator[tuple[bytes, ...]]:
        for run in runs(load.places):
            data = self._blobs.get(blob_name(run[0].pack), run[0].offset, sum(p.length for p in run))
            start = 0
            for place in run:
                yield self.check(place, data[start : start + place.length])
                start += place.length
            progress.advance(len(data))
        chunks = portions(load.anew, lambda each: each.place.plain_length, CHUNK)
        with Pool() as pool:
            for coded in pool.map(self._coded, chunks):
                for each, parts in coded:
                    yield parts
                    progress.advance(each.cost)

    def _coded(self, chunk: list[Anew]) -> list[tuple[Anew, tuple[bytes, ...]]]:
        plain = self._reader.fetch({id_ for each in chunk for id_ in (each.place.id, each.base)})
        return [(each, self._one(each, plain[each.place.id], plain[each.base])) for each in chunk]

    def _one(self, each: Anew, plain: Bytes, base: Bytes) -> tuple[bytes, ...]:
        """The block as a difference; in full where that turns out to be no less, or cannot be relied on."""
        place = each.place
        name, length = blob_name(place.pack), place.length
        header = unpack_header(self._blobs.get(name, place.offset, min(length, LARGEST_HEADER)))
        element = Element(header.element, header.width)
        block = Block(place.id, plain, element, BLOCK, head=False)
        in_full = length - LARGEST_HEADER if place.base is None else len(plain)
        coded = edge(plain, element, base, in_full)
        if coded is not None and gives_back(coded, block, base):
            made = sealed(self._seal, block, coded, each.base, 1)
        elif place.base is None:
            return self.check(place, self._blobs.get(name, place.offset, length))
        else:
            made = sealed(self._seal, block, full(plain, element))
        return made.header, *made.body
