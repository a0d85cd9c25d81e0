"""Checking everything that is kept. One damaged pack never stops the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from blake3 import blake3

from lepton_ai.errors import Busy, Damaged, InfrastructureError, LeptonError, NotFound
from lepton_ai.progress import Progress
from lepton_ai.store.codecs.contract import Bytes
from lepton_ai.store.contract import BlobInfo, Blobs, Finding
from lepton_ai.store.index import FRAME, Mark, Place
from lepton_ai.store.packs.format import Header, blob_name, headers, pack_name
from lepton_ai.store.packs.reader import read_footer, scan
from lepton_ai.store.pipeline import Pool, portions
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes

_STRETCH = 2 << 20
"""Plain bytes that are checked together."""

_STRETCH_OBJECTS = 512
_AT_ONCE = 500

BASES = "the bases of these objects cannot be read"
STRANDED = "the bases of these objects are missing"


class Problem(NamedTuple):
    """An object that cannot be read, and why."""

    place: Place
    text: str


class Stretch(NamedTuple):
    """Neighbouring objects of a pack and their bytes; or why these could not be read."""

    places: list[Place]
    data: bytes | None
    error: str


class Verifier:
    """Checks the packs in ``blobs``; the id key and the sealing keys are needed for the full check only."""

    def __init__(self, reader: Reader, blobs: Blobs) -> None:
        self._reader = reader
        self._index = reader.index
        self._blobs = blobs
        self._marks: dict[str, set[Mark]] = {}

    def run(self, *, fast: bool, progress: Progress) -> Iterator[Finding]:
        """Everything that is wrong. A pack that is dropped meanwhile is no finding."""
        yield from self._gone()
        self._index.refresh()
        packs = [info for info in self._blobs.list("packs/") if pack_name(info.name)]
        packs.sort(key=lambda info: (info.written_at, info.name))
        dropped = self._index.dropped()
        progress.start("Verifying", sum(info.size for info in packs))
        counts = self._index.counts()
        self._marks = self._index.marks()
        for info in packs:
            name = info.name.rpartition("/")[2].removesuffix(".pack")
            if name in dropped:  # a collection died between forgetting and deleting it: the next one goes on
                progress.advance(info.size)
                continue
            try:
                yield from self._structure(name, info, counts)
                if fast:
                    progress.advance(info.size)
                else:
                    yield from self._contents(name, info, progress)
            except NotFound as error:
                if name in {known.name for known in self._index.packs()}:
                    yield Finding(name, (), error.message)
            except LeptonError as error:
                yield Finding(name, (), error.message)

    def _gone(self) -> Iterator[Finding]:
        """Packs that the index knows and that are not there."""
        known = {info.name for info in self._index.packs()}
        gone = known - {pack_name(info.name) for info in self._blobs.list("packs/")} - self._index.dropped()
        for name in sorted(gone):
            ids = [place.id for place in self._index.objects(name)]
            if ids:  # else it was dropped since
                yield self._finding(name, ids, "the pack is gone", self._elsewhere(ids, name))

    def _structure(self, name: str, info: BlobInfo, counts: dict[str, tuple[int, int]]) -> Iterator[Finding]:
        """Footer, index and bases."""
        try:
            entries = list(headers(read_footer(self._blobs, name, info.size)))
        except Damaged as error:
            found = {header.id for _, header in scan(self._blobs, name, info.size)}
            ids = [place.id for place in self._index.objects(name) if place.id not in found]
            yield self._finding(name, ids, error.message, self._elsewhere(ids, name))
            return
        if not self._indexed(name, entries, counts):
            self._index.refresh()
            counts = self._index.counts()
            if name not in counts:  # dropped meanwhile
                return
            if not self._indexed(name, entries, counts):
                self._index.reload(name)
                yield Finding(name, (), "the index did not describe this pack; it has been corrected")
        stranded, lost = [], []
        for start in range(0, len(entries), _AT_ONCE):
            edges = [header for _, header in entries[start : start + _AT_ONCE] if header.base is not None]
            routes = Routes(self._index)
            routes.prepare(header.base for header in edges if header.base is not None)
            alone = [header.id for header in edges if header.base and routes.route(header.base) is None]
            stranded += alone
            lost += [id_ for id_ in alone if routes.route(id_) is None]
        if stranded:
            yield self._finding(name, stranded, STRANDED, lost)

    def _indexed(
        self, name: str, entries: list[tuple[int, Header]], counts: dict[str, tuple[int, int]]
    ) -> bool:
        """Whether the index says the same as the footer."""
        if counts.get(name) != (len(entries), len(entries)):
            return False
        for start in range(0, len(entries), _AT_ONCE):
            some = entries[start : start + _AT_ONCE]
            found = self._index.find(header.id for _, header in some)
            for offset, header in some:
                known = (place._replace(damaged=0) for place in found.get(header.id, ()))
                if _place(name, offset, header) not in known:
                    return False
        return True

    def _contents(self, name: str, info: BlobInfo, progress: Progress) -> Iterator[Finding]:
        """Open, decode and check every object, and the pack's own hash."""
        places, whole = self._places(name, info.size)
        digest = blake3()
        problems: dict[str, list[Place]] = {}
        readable = True
        with Pool() as pool:
            for stretch, found in pool.map(self._check, self._read(name, info.size, places, digest)):
                readable = readable and stretch.data is not None
                for place, problem in found:
                    problems.setdefault(problem, []).append(place)
                progress.advance(sum(place.length for place in stretch.places))
        progress.advance(info.size - sum(place.length for place in places))
        damaged = {(p.id, p.offset) for problem, bad in problems.items() if problem != BASES for p in bad}
        if not whole:
            known = {(place.id, place.offset) for place in self._index.objects(name)}
            damaged |= known - {(place.id, place.offset) for place in places} | {FRAME}
        changed = readable and not problems and digest.hexdigest() != name
        self._remember(name, damaged | {FRAME} if changed else damaged)
        for problem, bad in problems.items():
            ids = [place.id for place in bad]
            yield self._finding(name, ids, problem, [id_ for id_ in ids if not self._readable(id_)])
        if changed:
            yield Finding(name, (), "the pack is not what was written, though all of its objects are")

    def _remember(self, name: str, damaged: set[Mark]) -> None:
        """Mark in the index what is damaged itself: what stands on it is sound as soon as that is stored anew."""
        if damaged != self._marks.get(name, set()):
            with suppress(InfrastructureError, Busy):  # nobody can save there either: nobody needs it
                self._index.mark(name, damaged)

    def _places(self, name: str, size: int) -> tuple[list[Place], bool]:
        """The objects that can be found in a pack; whether its footer is whole."""
        try:
            return [_place(name, *entry) for entry in headers(read_footer(self._blobs, name, size))], True
        except Damaged:
            return [_place(name, *entry) for entry in scan(self._blobs, name, size)], False

    def _read(self, name: str, size: int, places: list[Place], digest: blake3) -> Iterator[Stretch]:
        """The pack from beginning to end, in stretches; what is not an object is hashed only."""
        end = 0
        for group in _stretches(places):
            start, stop = group[0].offset, group[-1].offset + group[-1].length
            try:
                digest.update(self._blobs.get(blob_name(name), end, start - end))
                data = self._blobs.get(blob_name(name), start, stop - start)
                digest.update(data)
                yield Stretch(group, data, "")
            except NotFound:
                raise
            except LeptonError as error:
                yield Stretch(group, None, error.message)
            end = stop
        while end < size:
            length = min(_STRETCH, size - end)
            digest.update(self._blobs.get(blob_name(name), end, length))
            end += length

    def _check(self, stretch: Stretch) -> tuple[Stretch, list[Problem]]:
        """What is wrong with the objects of a stretch."""
        if stretch.data is None:
            return stretch, [Problem(place, stretch.error) for place in stretch.places]
        bases = self._bases({place.base for place in stretch.places if place.base is not None})
        view, problems = memoryview(stretch.data), []
        first = stretch.places[0].offset
        for place in stretch.places:
            start = place.offset - first
            try:
                if place.base is not None and place.base not in bases:
                    raise Damaged(BASES)
                self._reader.open(place, view[start : start + place.length], bases.get(place.base or b""))
            except LeptonError as error:
                problems.append(Problem(place, error.message))
        return stretch, problems

    def _bases(self, ids: set[bytes]) -> dict[bytes, Bytes]:
        """Those of the bases that can be read."""
        try:
            return self._reader.fetch(ids)
        except LeptonError:
            return {id_: self._reader.fetch([id_])[id_] for id_ in ids if self._readable(id_)}

    def _readable(self, id_: bytes) -> bool:
        try:
            self._reader.fetch([id_])
        except LeptonError:
            return False
        return True

    def _elsewhere(self, ids: list[bytes], pack: str) -> list[bytes]:
        """Those of the objects that only ``pack`` has."""
        routes = Routes(self._index, avoid={pack})
        return [id_ for id_ in ids if routes.route(id_) is None]

    @staticmethod
    def _finding(pack: str, ids: list[bytes], problem: str, lost: list[bytes]) -> Finding:
        return Finding(pack, tuple(dict.fromkeys(ids)), problem, tuple(dict.fromkeys(lost)))


def _place(pack: str, offset: int, header: Header) -> Place:
    shape = (header.size, header.plain_length, header.base, header.depth)
    return Place(header.id, pack, offset, *shape, codec=header.codec)


def _stretches(places: list[Place]) -> Iterator[list[Place]]:
    return portions(places, lambda place: place.plain_length, _STRETCH, _STRETCH_OBJECTS)
