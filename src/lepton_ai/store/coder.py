"""One group of blocks: hash, look for them, code what is new, seal it. Runs in the writer's worker threads."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from lepton_ai.errors import Damaged, KeyMissing
from lepton_ai.store.blocks.cut import Part
from lepton_ai.store.codecs.choice import choose
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import BLOCK, Header
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes
from lepton_ai.store.seal.keyring import Keyring

LONGEST_CHAIN = 1
"""Bases that have to be opened at most to read a block that is written now. An edge to a block that is itself an edge
stands on that one's base instead, so the newest version costs the same after ten and after a thousand versions."""


class Sealed(NamedTuple):
    """A new object, ready to be appended to a pack."""

    header: bytes
    body: tuple[bytes, ...]


class Coded(NamedTuple):
    """A group of blocks: their ids in order and the objects among them that are new."""

    ids: list[bytes]
    new: list[Sealed]


class Coder:
    """Codes the blocks of one save. ``avoid`` names packs that it must not rely on. Thread-safe."""

    def __init__(self, reader: Reader, keyring: Keyring, avoid: Collection[str]) -> None:
        self._reader = reader
        self._seal = keyring.current
        self._avoid = frozenset(avoid)
        self._lock = threading.Lock()
        self._written: set[bytes] = set()
        self.used: set[str] = set()
        """Older packs that the save relies on."""

    def code(self, parts: list[Part], streams: list[tuple[str, str, int]], pairing: Pairing) -> Coded:
        """Ids and new objects of a group of blocks."""
        ids = [self._reader.object_id(part.data) for part in parts]
        routes = Routes(self._reader.index, self._avoid, sound=True)
        routes.prepare(ids)
        fresh = [i for i, id_ in enumerate(ids) if self._is_new(id_, routes)]
        bases = {}
        for i in fresh:
            key, dtype, _ = streams[parts[i].stream]
            base = pairing.block(key, dtype, parts[i].number, len(parts[i].data))
            if base is not None:
                bases[i] = base
        anchors = self._anchors(bases, routes)
        plain = self._plain({anchor[0].id for anchor in anchors.values()})
        new = []
        for i in fresh:
            element = element_of(streams[parts[i].stream][1])
            new.append(self._make(ids[i], parts[i].data, element, BLOCK, anchors.get(i), plain))
        return Coded(ids, new)

    def small(self, id_: bytes, data: Bytes, kind: int) -> Sealed | None:
        """A small object; None when it is kept already, and can be read."""
        if not self._is_new(id_, Routes(self._reader.index, self._avoid, sound=True)):
            if id_ in self._written or self._readable(id_):
                return None
            self._written.add(id_)
        return self._make(id_, data, Element(0, 1), kind, None, {})

    def _is_new(self, id_: bytes, routes: Routes) -> bool:
        """Whether this thread has to store the object; if not, remember what the save relies on."""
        with self._lock:
            if id_ in self._written:
                return False
            route = routes.route(id_)
            if route is None:
                self._written.add(id_)
                return True
            self.used.update(place.pack for place in route)
            return False

    def _readable(self, id_: bytes) -> bool:
        """Whether an object that the index knows can be read: without a manifest a whole file is lost."""
        try:
            self._reader.fetch([id_])
        except (Damaged, KeyMissing):
            return False
        return True

    def _anchors(self, bases: dict[int, bytes], routes: Routes) -> dict[int, list[Place]]:
        """For each block the route from the object that its edge is to stand on."""
        routes.prepare(bases.values())
        anchors = {}
        for i, base in bases.items():
            route = routes.route(base)
            if route is not None:
                anchors[i] = route[-LONGEST_CHAIN:]
        return anchors

    def _plain(self, ids: set[bytes]) -> dict[bytes, Bytes]:
        """The bases' plain bytes. A damaged one is left out: it must not keep anybody from saving."""
        try:
            return self._reader.fetch(ids)
        except Damaged:
            plain: dict[bytes, Bytes] = {}
            for id_ in ids:
                with suppress(Damaged):
                    plain.update(self._reader.fetch([id_]))
            return plain

    def _make(
        self,
        id_: bytes,
        data: Bytes,
        element: Element,
        kind: int,
        anchor: list[Place] | None,
        plain: dict[bytes, Bytes],
    ) -> Sealed:
        """Code and seal one object."""
        coded = choose(data, element, plain.get(anchor[0].id) if anchor else None)
        base, depth = None, 0
        if coded.edge and anchor:
            base, depth = anchor[0].id, len(anchor)
            with self._lock:
                self.used.update(place.pack for place in anchor)
        header = Header(
            kind, self._seal.number, coded.codec.number, coded.codec.version, element.width, element.number, depth,
            self._seal.key_id, len(data), len(coded.data) + self._seal.overhead, id_, base,
        ).pack()  # fmt: skip
        return Sealed(header, self._seal.seal(coded.data, header))
