"""Reading objects: index → packs → open → decode → check the id. Damage is gone round where there is another way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from blake3 import blake3

from lepton_ai.errors import Damaged, KeyMissing, NotFound, StorageFailed, TooNew
from lepton_ai.store.codecs import decode
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.contract import Blobs
from lepton_ai.store.index import Index, Place
from lepton_ai.store.packs.format import Header, blob_name, headers, unpack_header
from lepton_ai.store.packs.reader import read_footer
from lepton_ai.store.routes import Routes
from lepton_ai.store.seal.keyring import Keyring

LARGEST_READ = 8 << 20
"""Neighbouring objects are read in one go up to this many bytes."""


Absent = Callable[[set[bytes]], None]
"""Brings objects that no pack here holds from where they are, as far as they are anywhere."""

Near = Callable[[bytes], Bytes | None]
"""What the plain bytes of an object probably are, from somewhere near; they are checked."""


class Reader:
    """Plain bytes of objects. Thread-safe."""

    def __init__(self, blobs: Blobs, index: Index, keyring: Keyring, absent: Absent | None = None) -> None:
        self.index = index
        self._absent = absent
        self._blobs = blobs
        self._keyring = keyring

    def object_id(self, plain: Bytes) -> bytes:
        """The id of an object: BLAKE3 of its plain bytes, keyed with the repository's id key."""
        return blake3(plain, key=self._keyring.id_key).digest()

    def fetch(self, ids: Iterable[bytes], near: Near | None = None) -> dict[bytes, Bytes]:
        """The plain bytes of objects, checked. ``near``: where they, or what they stand on, may be had cheaper.

        Raises:
            Damaged: one of them cannot be read in any way.
            KeyMissing, TooNew, StorageFailed.
        """
        wanted = list(dict.fromkeys(ids))
        routes, ways = self._ways(wanted)
        plain: dict[bytes, Bytes] = {}
        if near is not None:
            ways = [way and self._shortened(way, near, plain) for way in ways]
        raw = self._load(place for way in ways for place in way or ())
        for id_, _ in sorted(zip(wanted, ways, strict=True), key=lambda each: len(each[1] or ())):
            self._resolve(id_, routes, raw, plain)  # what others stand on comes first
        return {id_: plain[id_] for id_ in wanted}

    def _shortened(self, way: list[Place], near: Near, plain: dict[bytes, Bytes]) -> list[Place]:
        """The way down to the first object that is near; that one is in ``plain`` then."""
        for number, place in enumerate(way):
            if place.id not in plain:
                data = near(place.id)
                if data is None or self.object_id(data) != place.id:
                    continue
                plain[place.id] = data
            return way[:number]
        return way

    def fill(self, targets: Mapping[bytes, memoryview]) -> None:
        """Put the plain bytes of objects, checked, into memory of their lengths.

        Raises:
            Damaged: one of them cannot be read in any way, or has another length.
            KeyMissing, TooNew, StorageFailed.
        """
        _, ways = self._ways(list(targets))
        raw, plain = self._load(place for way in ways for place in way or ()), dict[bytes, Bytes]()
        for (id_, target), way in zip(targets.items(), ways, strict=True):
            if way and way[0].plain_length == len(target) and self._hurry(way, raw, plain, target):
                continue
            data = self.fetch([id_])[id_]
            if len(data) != len(target):
                raise Damaged(
                    f"the content of a file is inconsistent: a block of {len(data)} bytes for {len(target)}"
                )
            target[:] = data

    def _ways(self, ids: list[bytes]) -> tuple[Routes, list[list[Place] | None]]:
        """How each object is read, with a look for new packs if one seems to be nowhere."""
        routes = Routes(self.index)
        routes.prepare(ids)
        ways = [routes.route(id_) for id_ in ids]
        if not all(ways):
            self.index.refresh()
            routes.forget()
            routes.prepare(ids)
            ways = [routes.route(id_) for id_ in ids]
        if self._absent is not None and not all(ways):
            self._absent({id_ for id_, way in zip(ids, ways, strict=True) if not way})
            routes.forget()
            routes.prepare(ids)
            ways = [routes.route(id_) for id_ in ids]
        return routes, ways

    def fetch_on(self, ways: Collection[list[Place]]) -> dict[bytes, Bytes]:
        """The plain bytes of the objects at the beginnings of ``ways``, checked; without those that cannot be read."""
        raw, plain = self._load(place for way in ways for place in way), dict[bytes, Bytes]()
        for way in ways:
            self._hurry(way, raw, plain)
        return {way[0].id: plain[way[0].id] for way in ways if way[0].id in plain}

    def unharmed(self, ids: Iterable[bytes]) -> bool:
        """Whether all that has to be opened for these objects is there as it was written: the seals say so, at a
        fraction of what decoding costs. False: on the ways that are taken first it is not; there may be others.

        Raises:
            KeyMissing, TooNew, StorageFailed.
        """
        _, ways = self._ways(list(dict.fromkeys(ids)))
        places = {place for way in ways for place in way or ()}
        raw = self._load(places)
        if not all(ways) or len(raw) < len(places):
            return False
        try:
            for place, data in raw.items():
                self.unseal(place, data)
        except Damaged:
            return False
        return True

    def _resolve(
        self, id_: bytes, routes: Routes, raw: dict[Place, memoryview], plain: dict[bytes, Bytes]
    ) -> None:
        """Put the plain bytes of ``id_`` (and of bases that were looked at closely) into ``plain``."""
        bad: set[Place] = set()
        mended: set[str] = set()
        first: Damaged | None = None
        looked = False
        while id_ not in plain:
            route = routes.route(id_, bad)
            if route is None and not looked:  # perhaps a pack was dropped meanwhile, and there is another
                looked = True
                with suppress(StorageFailed):  # who may only read sees what others entered
                    self.index.refresh()
                routes.forget()
                continue
            if route is None:
                doubtful = {place.pack for place in bad} - mended
                if not doubtful:
                    raise first or routes.why_not(id_)
                for pack in doubtful:  # perhaps only the index is wrong
                    with suppress(StorageFailed):
                        self.index.reload(pack)
                mended |= doubtful
                bad.clear()
                routes.forget()
                continue
            if first is None and self._hurry(route, raw, plain):
                continue
            problem = self._walk(route, raw, plain, bad)
            first = first or problem

    def _hurry(
        self,
        route: list[Place],
        raw: dict[Place, memoryview],
        plain: dict[bytes, Bytes],
        into: memoryview | None = None,
    ) -> bool:
        """Decode along a route and check only what comes out; False when it is not right, whatever the reason."""
        known = next((number for number, place in enumerate(route) if place.id in plain), len(route))
        base = plain[route[known].id] if known < len(route) else None
        try:
            for place in reversed(route[:known]):
                data = raw.get(place) or memoryview(self._get(place))
                base = self._decode(place, data, base, into if place is route[0] else None)
        except (Damaged, NotFound):
            return False
        if base is None or self.object_id(base) != route[0].id:
            return False
        plain[route[0].id] = base
        return True

    def _walk(
        self, route: Sequence[Place], raw: dict[Place, memoryview], plain: dict[bytes, Bytes], bad: set[Place]
    ) -> Damaged | None:
        """Decode along a route and check every step; the damage that ended it, whose place is then in ``bad``."""
        for place in reversed(route):
            if place.id in plain:
                continue
            try:
                data = raw.pop(place, None)
                if data is None:
                    data = memoryview(self._get(place))
                plain[place.id] = self.open(place, data, plain[place.base] if place.base else None)
            except (Damaged, NotFound) as error:
                bad.add(place)
                where = f"pack {place.pack}, object {place.id.hex()[:16]}… at {place.offset}"
                return Damaged(
                    f"Damaged: {where}: {error.message}", hint="see what is affected: lepton verify"
                )
        return None

    def proves(self, way: Sequence[Place], bad: set[Place] | None = None) -> bool:
        """Whether the object at the beginning of ``way`` can really be read on it; if not, ``bad`` gets the culprit."""
        return self._walk(way, {}, {}, set() if bad is None else bad) is None

    def open(self, place: Place, data: memoryview, base: Bytes | None) -> Bytes:
        """Open and decode the object that stands at ``place``, and check its id.

        Raises:
            Damaged: it is not what was saved, or not what the index says.
            KeyMissing, TooNew.
        """
        plain = self._decode(place, data, base)
        if self.object_id(plain) != place.id:
            raise Damaged("the bytes are not those that were saved")
        return plain

    def _decode(
        self, place: Place, data: memoryview, base: Bytes | None, into: memoryview | None = None
    ) -> Bytes:
        header, payload = self.unseal(place, data)
        element = Element(header.element, header.width)
        length = header.plain_length
        return decode(header.codec, header.codec_version, payload, element, base, length, into)

    def unseal(self, place: Place, data: memoryview) -> tuple[Header, Bytes]:
        """Header and payload of the object that stands at ``place``.

        Raises:
            Damaged, KeyMissing, TooNew.
        """
        header = unpack_header(data)
        if (header.id, header.base, header.size, header.plain_length) != (
            place.id, place.base, len(data), place.plain_length,
        ):  # fmt: skip
            raise Damaged("another object stands there than the index says")
        size = header.header_size
        packed = bytes(data[:size])
        try:
            seal = self._keyring.opener(header.seal, header.key_id)
        except (KeyMissing, TooNew):
            if self._listed(place, packed):
                raise
            raise Damaged("the object's header is not what was written") from None
        return header, seal.open(data[size:], packed)

    def _listed(self, place: Place, packed: bytes) -> bool:
        """Whether the pack's footer has the same header, as far as it can be read."""
        try:
            size = self._blobs.info(blob_name(place.pack)).size
            found = dict(headers(read_footer(self._blobs, place.pack, size)))
        except Damaged:
            return True
        return place.offset in found and found[place.offset].pack() == packed

    def _get(self, place: Place) -> bytes:
        return self._blobs.get(blob_name(place.pack), place.offset, place.length)

    def _load(self, places: Iterable[Place]) -> dict[Place, memoryview]:
        """The stored bytes of many objects; neighbours are read together. What cannot be read is left out."""
        result: dict[Place, memoryview] = {}
        for run in _neighbours(places):
            length = sum(place.length for place in run)
            try:
                data = memoryview(self._blobs.get(blob_name(run[0].pack), run[0].offset, length))
            except (Damaged, NotFound):
                continue  # each alone will say what is wrong
            start = 0
            for place in run:
                result[place] = data[start : start + place.length]
                start += place.length
        return result


def _neighbours(places: Iterable[Place]) -> list[list[Place]]:
    """The places, each once, in groups that follow each other in a pack without a gap."""
    groups: list[list[Place]] = []
    total = 0
    for place in sorted(set(places), key=lambda place: (place.pack, place.offset)):
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and (last.pack, last.offset + last.length) == (place.pack, place.offset)
            and total + place.length <= LARGEST_READ
        ):
            groups[-1].append(place)
            total += place.length
        else:
            groups.append([place])
            total = place.length
    return groups
