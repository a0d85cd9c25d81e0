"""From what there is to what is to be: blocks that resemble each other are planned together, family by family."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from lepton_ai.store.codecs.contract import Element
from lepton_ai.store.index import Place
from lepton_ai.store.repack.plan import Block, heights, lengths, plan, size
from lepton_ai.store.repack.survey import BLIND, Form, Survey

CLEARLY = 0.01
"""The part of a family's bytes that must be gained before anything of it is written anew."""

GUESS = 10
"""What is not measured yet is taken to be this much smaller as a difference: then it is measured."""

UNWANTED = 1 << 50
"""Bytes of what is written only if the bound cannot be held otherwise."""

Kind = tuple[int, Element, int]
"""A codec's number, the type of the numbers that it was given, and how long they are: bits of the length in bytes."""

Measure = Callable[[bytes, bytes, Element], int | None]
"""Bytes of a block as a difference to another one; None when that is not clearly less than in full."""


class Change(NamedTuple):
    """A form to be written: of the block ``id``, of ``length`` plain bytes, in full or as a difference to ``base``.

    ``bytes`` is what it will probably take. ``kept``: the same form as it is stored now, which stays when the new one
    is no smaller. ``whole``: what the block takes in full, ``now`` how many objects are opened for it today.
    """

    id: bytes
    base: bytes | None
    element: Element
    length: int
    depth: int
    bytes: int
    whole: int
    now: int
    kept: Place | None


class Decided(NamedTuple):
    """What becomes of a family: the stored forms that stay, those to be written, objects to be opened for each."""

    stays: dict[bytes, Place]
    changes: list[Change]
    chains: dict[bytes, int]


class Planner:
    """Plans families of blocks.

    ``pairs`` are blocks that may resemble each other, ``heads`` those of the newest version of a branch: these never
    become dearer to read than they are. ``ratios`` says what is left of the bytes of an old codec's forms with a better
    one. ``measure`` is asked for differences that nobody has made yet.
    """

    def __init__(
        self,
        survey: Survey,
        pairs: Iterable[tuple[bytes, bytes]],
        heads: Collection[bytes],
        bound: int,
        measure: Measure,
        ratios: Mapping[Kind, float],
    ) -> None:
        self._survey, self._heads, self._bound = survey, heads, bound
        self._measure, self._ratios = measure, ratios
        self._near: dict[bytes, set[bytes]] = {}
        now = survey.now
        for one, other in pairs:
            if one in now and other in now and now[one].plain_length == now[other].plain_length:
                self._near.setdefault(one, set()).add(other)
                self._near.setdefault(other, set()).add(one)

    def families(self) -> list[list[bytes]]:
        """All blocks that are connected by stored differences or pairs; those that are alone in one are left out,
        unless there is something to decide about them.
        """
        leader: dict[bytes, bytes] = {}

        def find(id_: bytes) -> bytes:
            while (up := leader.get(id_, id_)) != id_:
                leader[id_] = leader.get(up, up)
                id_ = up
            return id_

        for id_ in self._survey.now:
            bases = {form.base for form in self._survey.usable(id_) if form.base is not None}
            for other in bases | self._near.get(id_, set()):
                if other in self._survey:
                    leader[find(id_)] = find(other)
        found: dict[bytes, list[bytes]] = {}
        for id_ in self._survey.now:
            found.setdefault(find(id_), []).append(id_)
        return [ids for ids in found.values() if len(ids) > 1 or self._undecided(ids[0])]

    def decide(self, ids: list[bytes]) -> Decided | None:
        """What becomes of a family; None when it stays as it is read today."""
        family = _Family(self._survey, ids, self._ratios)
        family.guess(self._near)
        blocks = {id_: self._block(id_, family.whole[id_]) for id_ in ids}
        survey = self._survey
        today = sum(survey.now[id_].length for id_ in ids)
        allowed = all(survey.chains[id_] <= blocks[id_].bound for id_ in ids if blocks[id_].needed)
        least = today - max(1, int(today * CLEARLY)) if allowed else None
        if least is not None and family.at_least(blocks) > least:
            return None
        while True:
            chosen = plan(blocks, family.edges)
            if least is not None and size(blocks, family.edges, chosen) > least:
                return None
            guessed = [(id_, base) for id_, base in chosen.items() if base and (id_, base) in family.guessed]
            if not guessed:
                return family.decided(chosen, self._heads)
            for id_, base in guessed:
                family.learn(id_, base, self._measure(id_, base, family.element(id_)))

    def _undecided(self, id_: bytes) -> bool:
        usable = self._survey.usable(id_)
        return len(usable) > 1 or any(form.old for form in usable)

    def _block(self, id_: bytes, whole: int) -> Block:
        bound = min(self._bound, self._survey.chains[id_]) if id_ in self._heads else self._bound
        return Block(bound, whole, id_ in self._survey.roots)


class _Family:
    """The forms that the blocks of one family have, and those that they could have."""

    def __init__(self, survey: Survey, ids: list[bytes], ratios: Mapping[Kind, float]) -> None:
        self._survey, self._ids, self._ratios = survey, ids, ratios
        self._stored: dict[tuple[bytes, bytes | None], Form] = {}
        self._bytes: dict[tuple[bytes, bytes | None], int] = {}
        members = set(ids)
        for id_ in ids:
            for form in survey.usable(id_):
                if form.base is None or form.base in members:
                    key, cost = (id_, form.base), self._cost(form)
                    if cost < self._bytes.get(key, cost + 1):
                        self._bytes[key], self._stored[key] = cost, form
        full = [cost for (_, base), cost in self._bytes.items() if base is None]
        self._typical = max(full, default=survey.now[ids[0]].plain_length)
        new = _dearer(self._typical)
        self.whole = {
            id_: self._bytes.get((id_, None), new if self._movable(id_) else UNWANTED) for id_ in ids
        }
        known = {(id_, base): cost for (id_, base), cost in self._bytes.items() if base is not None}
        self.edges: dict[tuple[bytes, bytes], int] = known
        for (id_, base), cost in list(known.items()):
            if self._movable(base):
                known.setdefault((base, id_), _dearer(cost))
        self.guessed: set[tuple[bytes, bytes]] = set()

    def guess(self, near: Mapping[bytes, set[bytes]]) -> None:
        """Take pairs that nobody has compared to be alike."""
        least = min(self.edges.values(), default=self._typical // GUESS)
        for id_ in self._ids:
            for other in near.get(id_, ()):
                if (id_, other) not in self.edges and self._movable(id_):
                    self.guessed.add((id_, other))
                    self.edges[id_, other] = least

    def learn(self, id_: bytes, base: bytes, found: int | None) -> None:
        """Put what was measured in the place of a guess, in both directions."""
        for key in ((id_, base), (base, id_)):
            if key in self.guessed:
                self.guessed.discard(key)
                if found is None:
                    del self.edges[key]
                else:
                    self.edges[key] = _dearer(found)

    def at_least(self, blocks: Mapping[bytes, Block]) -> int:
        """No plan takes fewer bytes."""
        least = dict(self.whole)
        for (id_, _), cost in self.edges.items():
            least[id_] = min(least[id_], cost)
        needed = [id_ for id_ in self._ids if blocks[id_].needed]
        return sum(least[id_] for id_ in needed) + min(
            (self.whole[id_] - least[id_] for id_ in self._ids), default=0
        )

    def element(self, id_: bytes) -> Element:
        """The type of a block's numbers."""
        seen = [form.element for form in self._survey.forms[id_] if form.codec != BLIND]
        return max(seen, key=lambda element: element.number, default=Element(0, 1))

    def decided(self, chosen: Mapping[bytes, bytes | None], heads: Collection[bytes]) -> Decided:
        """What is to be written for a choice, and what stays.

        How deep a difference to one of the ``heads`` lies must be true: the next save counts on from there.
        """
        tall, stays, changes = heights(chosen), dict[bytes, Place](), list[Change]()
        for id_, base in chosen.items():
            form = self._stored.get((id_, base))
            depth = 0 if base is None else min(tall[id_] + 1, 255)
            if form and base in heads and form.place.depth != depth and self._movable(id_):
                form = None
            elif form and not self._worn(form):
                stays[id_] = form.place
                continue
            whole = self.whole[id_] if self.whole[id_] < UNWANTED else self._typical
            cost = whole if base is None else self.edges[id_, base]
            now = self._survey.now[id_]
            kept, steps = form.place if form else None, self._survey.chains[id_]
            element = self.element(id_)
            changes.append(Change(id_, base, element, now.plain_length, depth, cost, whole, steps, kept))
        return Decided(stays, changes, lengths(chosen))

    def _movable(self, id_: bytes) -> bool:
        """Whether anything is gained by another form of it: what a running save may have written stays."""
        return all(form.place.pack not in self._survey.fixed for form in self._survey.usable(id_))

    def _worn(self, form: Form) -> bool:
        return form.old and self._ratio(form) < 1 and self._movable(form.place.id)

    def _cost(self, form: Form) -> int:
        return int(form.place.length * self._ratio(form)) if form.old else form.place.length

    def _ratio(self, form: Form) -> float:
        return self._ratios.get(kind_of(form), 1.0)


def kind_of(form: Form) -> Kind:
    """Forms of a kind gain about as much by a better codec."""
    return form.codec, form.element, form.place.plain_length.bit_length()


def _dearer(cost: int) -> int:
    """A form that would have to be written, in the comparison with one that is there, and a guess besides."""
    return cost + cost // 50
