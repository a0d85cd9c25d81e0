"""Writing blocks in another form: read, coded, decoded again and compared before anybody may rely on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.choice import choose, edge, full
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.coder import Block, Sealed, gives_back, sealed
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import BLOCK, HEADER_SIZE, LARGEST_HEADER
from lepton_ai.store.pipeline import portions
from lepton_ai.store.reader import Reader
from lepton_ai.store.repack.families import Change, Kind, kind_of
from lepton_ai.store.repack.survey import Form, Survey
from lepton_ai.store.seal.keyring import Keyring

CHUNK = 8 << 20
"""Plain bytes that are coded together, their bases not counted."""

PART = 128 << 10
"""Bytes of a block by which a difference is judged that nobody has made yet."""

_SAMPLES = 6
"""Objects of a kind that are coded anew to see what that gains."""

_WORTH = 0.97
"""A kind is coded anew when at most this is left of its bytes."""


class Done(NamedTuple):
    """What became of a change: a new object, or a stored form that stays instead."""

    id: bytes
    new: Sealed | None
    stays: Place | None


class Recoder:
    """Codes blocks of one repository anew. Thread-safe."""

    def __init__(self, reader: Reader, keyring: Keyring, survey: Survey, heads: frozenset[bytes]) -> None:
        self._reader, self._seal, self._survey, self._heads = reader, keyring.current, survey, heads
        self.unreadable: set[bytes] = set()
        """Blocks that could not be read: they stay as they are."""

    def measure(self, id_: bytes, base: bytes, element: Element) -> int | None:
        """Bytes of a block as a difference to another; None when that is not clearly less than in full."""
        try:
            plain = self._reader.fetch([base, id_])
        except Damaged:
            self.unreadable.update((id_, base))
            return None
        length = len(plain[id_])
        part = _part(plain[id_])
        coded = choose(part, element, _part(plain[base]))
        size = len(coded.data) * length // len(part)
        return size + LARGEST_HEADER + self._seal.overhead if coded.edge else None

    def ratios(self) -> dict[Kind, float]:
        """What is left of the bytes of forms in an old codec, where that is worth the work."""
        kinds: dict[Kind, list[Form]] = {}
        for id_ in self._survey.now:
            for form in self._survey.usable(id_):
                if form.old and (form.base is None or form.base in self._survey):
                    kinds.setdefault(kind_of(form), []).append(form)
        found = {}
        for kind, forms in kinds.items():
            some = forms[:: max(1, len(forms) // _SAMPLES)][:_SAMPLES]
            sizes = [(self._again(form), form.place.length) for form in some]
            ratio = sum(new for new, _ in sizes) / sum(old for _, old in sizes)
            if ratio <= _WORTH:
                found[kind] = ratio
        return found

    def code(self, changes: list[Change]) -> list[Done]:
        """Make the forms of a chunk."""
        try:
            return self._coded(changes)
        except Damaged:
            if len(changes) == 1:
                self.unreadable.add(changes[0].id)
                return [Done(changes[0].id, None, self._survey.now[changes[0].id])]
            return [done for change in changes for done in self.code([change])]

    def _coded(self, changes: list[Change]) -> list[Done]:
        chains = self._survey.chains
        ids = {id_ for change in changes for id_ in (change.id, change.base) if id_ is not None}
        plain = self._reader.fetch(sorted(ids, key=chains.__getitem__))  # each is decoded from those before
        return [self._one(change, plain) for change in changes]

    def _one(self, change: Change, plain: dict[bytes, Bytes]) -> Done:
        block = Block(change.id, plain[change.id], change.element, BLOCK, head=change.id in self._heads)
        if change.base is not None:
            base = plain[change.base]
            most = change.whole - HEADER_SIZE if change.kept is None else 2 * change.length
            coded = edge(block.data, change.element, base, most)
            if coded is not None and gives_back(coded, block, base):
                new = sealed(self._seal, block._replace(head=False), coded, change.base, change.depth)
                return self._smaller(change, new)
            stored = [form.place for form in self._survey.usable(change.id) if form.base is None]
            if change.kept is not None or stored:  # it was worth less than it seemed
                return Done(change.id, None, change.kept or min(stored, key=lambda place: place.length))
        coded = full(block.data, change.element)
        if not gives_back(coded, block, None):
            return Done(change.id, None, self._survey.now[change.id])
        return self._smaller(change, sealed(self._seal, block, coded))

    @staticmethod
    def _smaller(change: Change, new: Sealed) -> Done:
        """The new object, unless the same form is there already and takes no more."""
        taken = len(new.header) + sum(len(part) for part in new.body)
        if change.kept is not None and taken >= change.kept.length:
            return Done(change.id, None, change.kept)
        return Done(change.id, new, None)

    def _again(self, form: Form) -> int:
        """Bytes that a form would take today."""
        place = form.place
        try:
            plain = self._reader.fetch([id_ for id_ in (place.base, place.id) if id_ is not None])
        except Damaged:
            return place.length
        if place.base is None:
            coded = full(plain[place.id], form.element)
            return len(coded.data) + HEADER_SIZE + self._seal.overhead
        found = edge(plain[place.id], form.element, plain[place.base], 2 * place.plain_length)
        return len(found.data) + LARGEST_HEADER + self._seal.overhead if found else place.length


def _part(plain: Bytes) -> Bytes:
    """A piece from the middle of a block, enough to tell what the whole will be; short ones are that themselves."""
    start = (len(plain) - PART) // 2 & ~63
    return memoryview(plain)[start : start + PART] if len(plain) > 2 * PART else plain


def chunks(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """A family's changes in portions, those first that others are decoded from."""
    first = sorted(changes, key=lambda change: change.now)
    return portions(first, lambda change: change.length, CHUNK)
