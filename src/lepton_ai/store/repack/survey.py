"""What there is before a repack: every form in which needed objects are stored, and the one that is read today."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.codecs import difference, planes, sparse, tiles
from lepton_ai.store.codecs.contract import Element
from lepton_ai.store.codecs.native import kernel
from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.index import FRAME, Place
from lepton_ai.store.packs.format import Header, headers
from lepton_ai.store.packs.reader import read_footer
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes

_AT_ONCE = 500

BLIND = -1
"""The codec of an object whose header is not known: its pack's footer is lost."""


class Form(NamedTuple):
    """One stored form of an object; ``old``: a better codec is at hand now."""

    place: Place
    codec: int
    element: Element
    old: bool = False

    @property
    def base(self) -> bytes | None:
        """What it is a difference to."""
        return self.place.base


class Survey:
    """All forms of the needed objects and of what they stand on.

    Packs that are not ``free`` are not to be changed, and their forms count only where an object has no other: a save
    that is still running may have written them. What else the ``young`` of these packs hold is needed like the roots
    (``spared``): versions that refer to it may be on their way back.
    """

    def __init__(
        self,
        reader: Reader,
        blobs: Blobs,
        roots: Collection[bytes],
        free: Collection[str],
        young: Collection[str] = (),
    ) -> None:
        self.spared: set[bytes] = set()
        self.packs = {info.name: info for info in reader.index.packs()}
        self.frames = reader.index.frames()
        self.fixed = self.packs.keys() - set(free)
        self.forms: dict[bytes, list[Form]] = {}
        self.now: dict[bytes, Place] = {}
        """The form that is read today, of every needed object and of every base on its way."""
        self.chains: dict[bytes, int] = {}
        """Objects that are opened for it today, itself included."""
        self.lost: set[bytes] = set()
        """Objects that cannot be read, as far as is known."""
        self._blobs, self._index, self._marks = blobs, reader.index, reader.index.marks()
        for info in list(self.packs.values()):
            self._read(blobs, info)
        self._walk(roots)
        self._spare(set(roots), set(young) - self.fixed)
        self.roots: Collection[bytes] = {*roots, *self.spared}

    def enter(self, infos: Iterable[PackInfo]) -> None:
        """Take packs into account that were written meanwhile."""
        for info in infos:
            self.packs[info.name] = info
            self._read(self._blobs, info)
        self.frames = self._index.frames()

    def leave(self, packs: Collection[str]) -> None:
        """Forget packs that were deleted."""
        for name in packs:
            self.packs.pop(name, None)
        for id_, forms in self.forms.items():
            if any(form.place.pack in packs for form in forms):
                self.forms[id_] = [form for form in forms if form.place.pack not in packs]

    def usable(self, id_: bytes) -> list[Form]:
        """The forms that may be relied on."""
        forms = self.forms.get(id_, [])
        return [form for form in forms if form.place.pack not in self.fixed] or forms

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self.now

    def _read(self, blobs: Blobs, info: PackInfo) -> None:
        """Enter a pack by its footer; by what the index knows of it when that is lost: then it stays as it is."""
        damaged = self._marks.get(info.name, set())
        try:
            found: Iterator[Form] = _forms(info.name, read_footer(blobs, info.name, info.size))
        except NotFound:  # dropped since
            del self.packs[info.name]
            return
        except Damaged:
            self.fixed.add(info.name)
            found = (Form(place, BLIND, Element(0, 1)) for place in self._index.objects(info.name))
        if FRAME in damaged:
            self.fixed.add(info.name)
        for form in found:
            if (form.place.id, form.place.offset) not in damaged:
                self.forms.setdefault(form.place.id, []).append(form)

    def _spare(self, roots: set[bytes], young: set[str]) -> None:
        """Packs that hold nothing needed are left alone anyway; one of them may turn out to hold a base."""
        held: dict[str, set[bytes]] = {pack: set() for pack in young}
        for id_, forms in self.forms.items():
            for form in forms:
                if form.place.pack in held:
                    held[form.place.pack].add(id_)
        while near := [pack for pack, ids in held.items() if not ids.isdisjoint(self.now)]:
            found = set().union(*(held.pop(pack) for pack in near)) - roots - self.spared
            routes = Routes(self._index)
            found = {id_ for id_ in found if routes.route(id_)}  # else gc took its base
            self.spared |= found
            self._walk(found)

    def _walk(self, some_roots: Iterable[bytes]) -> None:
        ids = iter(some_roots)
        while some := list(islice(ids, _AT_ONCE)):
            near = Routes(self._index, self.fixed, sound=True)
            near.prepare(some)
            for id_ in some:
                self._enter(id_, near)

    def _enter(self, id_: bytes, near: Routes) -> None:
        way = near.route(id_) or Routes(self._index, sound=True).route(id_)
        if way is None:
            self.lost.add(id_)
            return
        for steps, place in enumerate(way):
            if place.id not in self.now:
                self.now[place.id], self.chains[place.id] = place, len(way) - steps


def _forms(pack: str, footer: bytes) -> Iterator[Form]:
    return (_form(pack, offset, header) for offset, header in headers(footer))


def _form(pack: str, offset: int, h: Header) -> Form:
    place = Place(h.id, pack, offset, h.size, h.plain_length, h.base, h.depth, codec=h.codec)
    element = Element(h.element, h.width)
    return Form(place, h.codec, element, is_old(h.codec, element))


def is_old(codec: int, element: Element) -> bool:
    """Whether a codec was the second choice, made where there is no kernel, and there is one here."""
    if kernel() is None:
        return False
    if codec == planes.CODEC.number:
        return element.number in tiles.FLOATS
    return codec in (difference.CODEC.number, sparse.CODEC.number)
