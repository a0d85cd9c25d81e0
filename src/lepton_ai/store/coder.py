"""One group of blocks: hash, look for them, code what is new, seal it. Runs in the writer's worker threads."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from lepton_ai.errors import Damaged, KeyMissing
from lepton_ai.store.ahead import NOTHING, Ahead, Known, look_up
from lepton_ai.store.blocks.cut import Part
from lepton_ai.store.codecs import decode
from lepton_ai.store.codecs.choice import Coded as Coded_
from lepton_ai.store.codecs.choice import choose, edge, full
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.contract import OPAQUE
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import BLOCK, Header
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes
from lepton_ai.store.seal.contract import Seal
from lepton_ai.store.seal.keyring import Keyring

LONGEST_FORWARD = 3
"""Bases that have to be opened at most to read a block that is written now as a difference to an older one."""

TALLEST = 10
"""Differences that may stand one on another below a block that is kept in full: what the oldest costs to read."""

LONGEST = TALLEST + 1
"""Objects that may be opened for a block if nothing else is said."""

BARE = 16 << 10
"""Opaque blocks of fewer bytes, headers say, have no base: a pack would have to be copied to gain a few of them."""


class Sealed(NamedTuple):
    """A new object, ready to be appended to a pack; ``head``: a later save may make it needless."""

    header: bytes
    body: tuple[bytes, ...]
    head: bool = False


class Coded(NamedTuple):
    """A group of blocks: their ids in order and the objects among them that are new."""

    ids: list[bytes]
    new: list[Sealed]


class Block(NamedTuple):
    """An object to be stored."""

    id: bytes
    data: Bytes
    element: Element
    kind: int
    head: bool


class _Base(NamedTuple):
    """An older block, with the way on which it is read and the differences that stand on it."""

    id: bytes
    plain: Bytes
    way: list[Place]
    height: int


class Coder:
    """Codes the blocks of one save. ``avoid`` names packs that it must not rely on. Thread-safe.

    ``turn``: what the save builds upon is nobody else's newest version. Then a changed block is stored in full, and the
    older one as its difference to it: the newest version is the cheap one to read and to build upon. Otherwise the
    older block stays as it is, and the new one is the difference.
    """

    def __init__(self, reader: Reader, keyring: Keyring, avoid: Collection[str], *, turn: bool) -> None:
        self._reader = reader
        self._seal = keyring.current
        self._avoid = frozenset(avoid)
        self._turn = turn
        self._lock = threading.Lock()
        self._written: set[bytes] = set()
        self.relied: set[bytes] = set()
        """Older objects that the save relies on."""
        self.superseded: set[bytes] = set()
        """Older objects that it stored again as differences."""

    def ahead(self, streams: list[tuple[str, str, int]], pairing: Pairing) -> Ahead:
        """What a file's blocks will be compared with, looked up in time."""
        return Ahead(self._reader.index, self._avoid, pairing, streams, tall=self._turn)

    def code(
        self,
        parts: list[Part],
        streams: list[tuple[str, str, int]],
        pairing: Pairing,
        known: Known = NOTHING,
    ) -> Coded:
        """Ids and new objects of a group of blocks."""
        ids = [self._reader.object_id(part.data) for part in parts]
        bases = [_base(part, streams, pairing) for part in parts]
        routes = Routes(self._reader.index, self._avoid, sound=True)
        routes.prepare(ids)
        fresh = [i for i, id_ in enumerate(ids) if self._is_new(id_, routes)]
        found = self._bases({base for i in fresh if (base := bases[i]) is not None}, known)
        new = []
        for i in fresh:
            key, dtype, _ = streams[parts[i].stream]
            block = Block(ids[i], parts[i].data, element_of(dtype), BLOCK, head=key != OPAQUE)
            older = found.get(bases[i] or b"")
            new += self._block(block, older, own=pairing.is_own(key, dtype))
        return Coded(ids, new)

    def small(self, id_: bytes, data: Bytes, kind: int) -> Sealed | None:
        """A small object; None when it is kept already, and can be read."""
        if not self._is_new(id_, Routes(self._reader.index, self._avoid, sound=True)):
            if id_ in self._written or self._readable(id_):
                return None
            self._written.add(id_)
        block = Block(id_, data, Element(0, 1), kind, head=False)
        return self._sealed(block, full(data, block.element))

    def _is_new(self, id_: bytes, routes: Routes) -> bool:
        """Whether this thread has to store the object; if not, remember that the save relies on it."""
        with self._lock:
            if id_ in self._written:
                return False
            if routes.route(id_) is None:
                self._written.add(id_)
                return True
            self.relied.add(id_)
            return False

    def _readable(self, id_: bytes) -> bool:
        """Whether an object that the index knows can be read: without a manifest a whole file is lost."""
        try:
            self._reader.fetch([id_])
        except (Damaged, KeyMissing):
            return False
        return True

    def _bases(self, ids: set[bytes], known: Known) -> dict[bytes, _Base]:
        """Those of the older blocks that can be read. A damaged one must not keep anybody from saving."""
        if unknown := ids - known.ways.keys():
            more = look_up(self._reader.index, unknown, self._avoid, tall=self._turn)
            known = Known({**known.ways, **more.ways}, {**known.heights, **more.heights})
        ways = {id_: way for id_ in ids if (way := known.ways[id_]) is not None}
        plain = self._plain(ways)
        return {
            id_: _Base(id_, plain[id_], way, known.heights.get(id_, 0))
            for id_, way in ways.items()
            if id_ in plain
        }

    def _plain(self, ways: dict[bytes, list[Place]]) -> dict[bytes, Bytes]:
        plain = self._reader.fetch_on(ways.values())
        for id_ in ways.keys() - plain.keys():  # not on this way: perhaps on another one
            with suppress(Damaged):
                plain.update(self._reader.fetch([id_]))
        return plain

    def _block(self, block: Block, base: _Base | None, *, own: bool) -> list[Sealed]:
        """The objects that store a new block, and perhaps an older one of its ``own`` line in another way."""
        if base is None:
            return [self._sealed(block, full(block.data, block.element))]
        if own and self._may_turn(base):
            return self._turned(block, base)
        key_frame = own and self._turn and len(base.way) == 1 and base.height >= TALLEST
        if key_frame or len(base.way) > LONGEST_FORWARD:  # the newest stays cheap; so does the one below
            return [self._sealed(block, full(block.data, block.element, like=base.way[-1].codec))]
        coded = choose(block.data, block.element, base.plain)
        if not coded.edge:
            return [self._sealed(block, coded)]
        with self._lock:
            self.relied.add(base.id)
        return [self._sealed(block._replace(head=False), coded, base.id, len(base.way))]

    def _may_turn(self, base: _Base) -> bool:
        if not self._turn or base.height >= TALLEST or 1 < len(base.way) <= LONGEST_FORWARD:
            return False
        with self._lock:
            if base.id in self.superseded:
                return False
            self.superseded.add(base.id)
            return True

    def _turned(self, block: Block, base: _Base) -> list[Sealed]:
        """The new block in full, and the older one as a difference to it where that is clearly smaller."""
        whole = self._sealed(block, full(block.data, block.element, like=base.way[-1].codec))
        in_full = base.way[0].length if len(base.way) == 1 else sum(map(len, whole.body))
        coded = edge(base.plain, block.element, block.data, in_full)
        older = Block(base.id, base.plain, block.element, BLOCK, head=False)
        if coded is None or not gives_back(coded, older, block.data):
            with self._lock:
                self.superseded.discard(base.id)
            return [whole]
        return [whole, self._sealed(older, coded, block.id, base.height + 1)]

    def _sealed(self, block: Block, coded: Coded_, base: bytes | None = None, depth: int = 0) -> Sealed:
        return sealed(self._seal, block, coded, base, depth)


def _base(part: Part, streams: list[tuple[str, str, int]], pairing: Pairing) -> bytes | None:
    """The older block that a part is compared with."""
    key, dtype, _ = streams[part.stream]
    if key == OPAQUE and len(part.data) < BARE:
        return None
    return pairing.block(key, dtype, part.number, len(part.data))


def gives_back(coded: Coded_, block: Block, base: Bytes | None) -> bool:
    """Decode it and compare: another copy of the block is going to be deleted."""
    codec = coded.codec
    plain = decode(codec.number, codec.version, coded.data, block.element, base, len(block.data))
    return plain == block.data


def sealed(seal: Seal, block: Block, coded: Coded_, base: bytes | None = None, depth: int = 0) -> Sealed:
    """A coded block as an object; ``base`` is what it is a difference to."""
    codec, element = coded.codec, block.element
    header = Header(
        block.kind, seal.number, codec.number, codec.version, element.width, element.number, depth,
        seal.key_id, len(block.data), len(coded.data) + seal.overhead, block.id, base,
    ).pack()  # fmt: skip
    return Sealed(header, seal.seal(coded.data, header), block.head)
