"""A repack, step by step: look, plan, write new forms, write packs anew. Deleting is decided above.

After every step all that was readable still is: what is new is only added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.progress import Progress
from lepton_ai.store.contract import Blobs
from lepton_ai.store.copying import Packing
from lepton_ai.store.durable import make_folder, storage_errors
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import HEADER_SIZE
from lepton_ai.store.packs.writer import HEAD_PACK_SIZE, PACK_SIZE, sweep
from lepton_ai.store.pipeline import Pool
from lepton_ai.store.reader import Reader
from lepton_ai.store.repack.families import Change, Decided, Planner
from lepton_ai.store.repack.packs import MIDWAY, Pack, Sorting, groups
from lepton_ai.store.repack.recode import Recoder, chunks
from lepton_ai.store.repack.relief import relieved
from lepton_ai.store.repack.survey import Survey
from lepton_ai.store.seal.keyring import Keyring

ROUND = 1 << 30
"""Bytes of new forms that are written before packs are freed again."""

PLANNED = ""
"""The pack of a form that is planned only."""


class Figures(NamedTuple):
    """How much there is: bytes and number of packs, objects in them, bytes that nothing needs.

    ``longest``: objects opened for the dearest block, ``mean``: bytes decoded for each byte of all blocks.
    """

    bytes: int
    packs: int
    objects: int
    dead: int
    longest: int
    mean: float


class _Family(NamedTuple):
    """A family that changes: its blocks, the forms that will stay, and how many chunks of changes are to be written."""

    ids: list[bytes]
    target: dict[bytes, Place]
    left: list[list[Change]]


Round = list[tuple[_Family, list[Change]]]
"""Changes that are written together."""


class Repacker:
    """One repack of what ``roots`` need, within ``free`` packs, and of what else the ``young`` of them hold.

    ``heads`` are the blocks that are read most often.
    """

    def __init__(
        self,
        reader: Reader,
        blobs: Blobs,
        keyring: Keyring,
        temporary: Path,
        roots: Collection[bytes],
        free: Collection[str],
        heads: frozenset[bytes],
        young: Collection[str] = (),
    ) -> None:
        self._reader, self._blobs, self._temporary = reader, blobs, temporary
        self.survey = Survey(reader, blobs, roots, free, young)
        self._heads = heads
        self._recoder = Recoder(reader, keyring, self.survey, heads)
        self.target = dict(self.survey.now)
        """The form that is needed of every object; in a family that changes the old one till all new ones are there."""
        self.chains = dict(self.survey.chains)
        """Objects that will be opened for each."""
        self._changing: list[_Family] = []
        self.made = 0
        """New forms that were written."""
        self.written: set[str] = set()
        """The packs that this repack wrote."""
        self._compared: set[tuple[str, int]] = set()
        """Where the forms stand that were decoded and compared in this repack; copies never were."""
        self.stuck: set[str] = set()
        """Packs that were written anew and could not be deleted all the same."""

    @property
    def unreadable(self) -> set[bytes]:
        """Objects that cannot be read: whatever holds anything of them stays."""
        return self.survey.lost | self._recoder.unreadable

    def plan(self, pairs: Iterable[tuple[bytes, bytes]], bound: int, progress: Progress) -> None:
        """Decide what every block should be, no chain longer than ``bound`` objects."""
        survey, recoder = self.survey, self._recoder
        planner = Planner(survey, pairs, self._heads, bound, recoder.measure, recoder.ratios())
        families = planner.families()
        progress.start("planning", sum(survey.now[id_].plain_length for ids in families for id_ in ids))
        with Pool() as pool:
            for ids, decided in zip(families, pool.map(planner.decide, families), strict=True):
                if decided is not None:
                    self._take(ids, decided)
                progress.advance(sum(survey.now[id_].plain_length for id_ in ids))

    def _take(self, ids: list[bytes], decided: Decided) -> None:
        target = dict(decided.stays)
        for one in decided.changes:
            target[one.id] = Place(one.id, PLANNED, 0, one.bytes, one.length, one.base, one.depth)
        for id_ in ids:
            del self.chains[id_]
        self.chains.update(decided.chains)
        self._changing.append(_Family(ids, target, list(chunks(decided.changes))))
        if not decided.changes:
            self._settle(self._changing.pop())

    @property
    def planned(self) -> int:
        """Changes that are to be written."""
        return sum(len(chunk) for family in self._changing for chunk in family.left)

    def rounds(self) -> Iterator[Round]:
        """The changes in portions that take about ``ROUND`` bytes."""
        part: Round = []
        total = 0
        for family in self._changing:
            for chunk in list(family.left):
                size = sum(change.bytes for change in chunk)
                if part and total + size > ROUND:
                    yield part
                    part, total = [], 0
                part.append((family, chunk))
                total += size
        if part:
            yield part

    def write(self, part: Round, progress: Progress) -> None:
        """Make new forms, durably; nothing relies on them alone before older ones are deleted."""
        made: list[tuple[_Family, bytes]] = []
        with self._packing() as packing, Pool() as pool:
            coded = pool.map(self._recoder.code, (chunk for _, chunk in part))
            for (family, chunk), done in zip(part, coded, strict=True):
                for one in done:
                    if one.new is not None:
                        packing.append(one.new.header, one.new.body, head=one.new.head)
                        made.append((family, one.id))
                    elif one.stays is not None:
                        family.target[one.id] = one.stays
                progress.advance(sum(change.length for change in chunk))
            places = self._finish(packing, [id_ for _, id_ in made])
        for family, id_ in made:
            family.target[id_] = places[id_]
            self._compared.add((places[id_].pack, places[id_].offset))
        for family, chunk in part:
            family.left.remove(chunk)
            if not family.left:
                self._settle(family)
        self.made += len(made)

    def _settle(self, family: _Family) -> None:
        """From now on the new forms are those that are needed."""
        for id_ in family.ids:
            del self.target[id_]
        self.target.update(family.target)

    def untidy(self, *, more: bool) -> Iterator[list[Pack]]:
        """The packs to be written anew, in groups; ``more``: new forms will still come."""
        packs = self._sorting().untidy(garbage=MIDWAY, merge=False) if more else self._sorting().untidy()
        kept = self.stuck | self.written if more else self.stuck
        return groups([pack for pack in packs if pack.name not in kept])

    def copy(self, group: list[Pack], progress: Progress) -> None:
        """Write what stays of a group of packs into new ones."""
        sorting = self._sorting()
        places = sorting.contents(group)
        copied: list[bytes] = []
        with self._packing() as packing:
            for place in places:
                try:
                    packing.copy([place], sorting.is_head)
                    copied.append(place.id)
                except (Damaged, NotFound):  # then all stays that holds anything of it
                    self._recoder.unreadable.add(place.id)
                    marks = self._reader.index.marks().get(place.pack, set())
                    self._reader.index.mark(place.pack, {*marks, (place.id, place.offset)})
                progress.advance(place.length)
            self.target.update(self._finish(packing, copied))

    def relieved(self, packs: Collection[str], roots: Collection[bytes], avoid: Collection[str]) -> set[str]:
        """Those of ``packs`` that can be deleted."""
        needed = {*roots, *self.survey.spared}
        return relieved(self._reader, self._blobs, packs, needed, avoid, self._compared)

    def now(self, blocks: Collection[bytes]) -> Figures:
        """What there is now."""
        return self._counted(
            Sorting(self.survey, self.survey.now, self._heads), {}, self.survey.chains, blocks
        )

    def then(self, blocks: Collection[bytes]) -> tuple[Figures, int]:
        """What there will probably be when the plan is carried out, and how many packs are written anew for it."""
        target = dict(self.target)
        for family in self._changing:
            for id_ in family.ids:
                del target[id_]
            target |= family.target
        sorting = Sorting(self.survey, target, self._heads)
        untidy = {pack.name: pack for pack in sorting.untidy()}
        return self._counted(sorting, untidy, self.chains, blocks), len(untidy)

    def cost(self, ids: Collection[bytes], chains: Mapping[bytes, int]) -> float:
        """Bytes that are decoded for each byte of these blocks."""
        known = [id_ for id_ in ids if id_ in chains]
        return _mean(known, chains, self.survey.now)

    def _counted(
        self,
        sorting: Sorting,
        untidy: Mapping[str, Pack],
        chains: Mapping[bytes, int],
        blocks: Collection[bytes],
    ) -> Figures:
        stay = [info for name, info in self.survey.packs.items() if name not in untidy]
        moved = sorting.contents(list(untidy.values())) + sorting.planned()
        heads = sum(place.length for place in moved if sorting.is_head(place))
        total = sum(place.length for place in moved)
        packs = -(-heads // HEAD_PACK_SIZE) - (-(total - heads) // PACK_SIZE)
        known = [chains[id_] for id_ in blocks if id_ in chains]
        return Figures(
            sum(info.size for info in stay) + total + HEADER_SIZE * len(moved),
            len(stay) + packs,
            sum(info.objects for info in stay) + len(moved),
            sum(pack.dead for pack in sorting.every() if pack.name not in untidy),
            max(known, default=0),
            self.cost(blocks, chains),
        )

    def _packing(self) -> Packing:
        with storage_errors(self._temporary):
            make_folder(self._temporary)
            sweep(self._temporary)
        return Packing(self._reader, self._blobs, self._temporary)

    def _finish(self, packing: Packing, ids: list[bytes]) -> dict[bytes, Place]:
        """Where these objects are now."""
        infos = packing.finish()
        new = {info.name for info in infos}
        self.written |= new
        self.survey.enter(infos)
        forms = self.survey.forms
        return {id_: next(form.place for form in forms[id_] if form.place.pack in new) for id_ in ids}

    def _sorting(self) -> Sorting:
        return Sorting(self.survey, self.target, self._heads)


def _mean(ids: Collection[bytes], chains: Mapping[bytes, int], places: Mapping[bytes, Place]) -> float:
    total = sum(places[id_].plain_length for id_ in ids)
    return sum(chains[id_] * places[id_].plain_length for id_ in ids) / total if total else 0.0
