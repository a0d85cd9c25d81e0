"""Repack: decide anew how everything is stored, with what is known now, and write it so.

A collection with another plan, as safe as one: new forms and new packs are added first, each decoded and compared; what
they replace is deleted in the way of gc (told, waited, looked at once more), and only what every version can be read
without. A process that dies in between leaves some things stored twice, which the next repack or gc frees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history import leases, manifest
from lepton_ai.history.alike import Alone, alike
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.checkout import check_space
from lepton_ai.history.collect import TURN_WAIT, Collector, digests_of
from lepton_ai.history.lines import Lines
from lepton_ai.history.pairs import blocks_of, pairs
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import Commit, ContentRow, VersionRow
from lepton_ai.history.sentence import carry_out
from lepton_ai.history.turns import REPACK, Turn, patiently, told
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.coder import LONGEST
from lepton_ai.store.repack.packs import Pack
from lepton_ai.store.repack.repacker import Figures, Repacker

MOST = 200
_ROWS = 500


class Shape(msgspec.Struct, frozen=True):
    """How a repository is stored, at one moment.

    ``bytes`` in ``packs``, ``objects`` in these, ``dead_bytes`` that no version needs. ``longest_chain``: objects that
    are opened for the dearest block. Costs are bytes decoded for each byte given back: ``mean_chain`` over all blocks,
    ``newest_cost`` and ``oldest_cost`` of the newest and the oldest version that is not deleted.
    """

    bytes: int
    packs: int
    objects: int
    dead_bytes: int
    longest_chain: int
    mean_chain: float
    newest_cost: float
    oldest_cost: float


class Repacked(msgspec.Struct, frozen=True):
    """What a repack did, or with ``dry_run`` would do: then ``after`` is estimated.

    ``recoded``: blocks written in another form, ``rewritten``: packs written anew. ``waiting``: packs that are not
    needed any more, but left because something that began before still runs; ``running`` is what. ``unreadable``:
    blocks that could not be read and stay as they are.
    """

    dry_run: bool
    max_chain: int
    before: Shape
    after: Shape
    recoded: int
    rewritten: int
    waiting: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    unreadable: int = 0


class Repack:
    """One repack over one repository."""

    def __init__(self, home: AnyHome, lines: Lines, act: Act, progress: Progress = SILENT) -> None:
        self._home, self._lines, self._progress = home, lines, progress
        self._history, self._store = home.history, home.store
        self._turn = Turn(self._history, act, REPACK)
        self._collector = Collector(lines, self._store, act)
        self._act = act

    def run(self, *, max_chain: int = LONGEST, dry_run: bool = False) -> Repacked:
        """Repack, with no chain longer than ``max_chain`` objects; see :class:`Repacked`.

        Raises:
            UsageError: ``max_chain`` is no number from 1 on.
            Busy: a collection or another repack is running.
            NoSpace: there is no room for what has to be written before anything can be deleted.
            Damaged: what a version is made of cannot be read; names it.
        """
        if isinstance(max_chain, bool) or not isinstance(max_chain, int) or not 1 <= max_chain <= MOST:
            raise UsageError(
                f"the longest chain cannot be {max_chain!r}",
                hint=f"give a number of objects from 1 to {MOST}",
            )
        if dry_run:
            return self._run(max_chain, self._progress, dry_run=True)
        patiently(TURN_WAIT, self._turn.begin)
        try:
            return self._run(max_chain, leases.Beating(self._progress, self._turn.beat), dry_run=False)
        finally:
            self._turn.end()

    def _run(self, max_chain: int, progress: Progress, *, dry_run: bool) -> Repacked:
        repacker, rows, running = self._begin()
        blocks = repacker.survey.roots
        before = self._shape(repacker, rows, repacker.now(blocks), repacker.survey.chains)
        alone: list[Alone] = []
        near = set(pairs(self._history, self._reader, rows, alone))
        near.update(alike(self._store, alone, progress))
        repacker.plan(near, max_chain, progress)
        if dry_run:
            figures, rewritten = repacker.then(blocks)
            after = self._shape(repacker, rows, figures, repacker.chains)
            lost = len(repacker.unreadable)
            return Repacked(True, max_chain, before, after, repacker.planned, rewritten, (), running, lost)
        rewritten, waiting = self._work(repacker, progress)
        if repacker.made or rewritten:
            self._tell_sizes(rows)
        fresh, rows, _ = self._begin()
        after = self._shape(fresh, rows, fresh.now(fresh.survey.roots), fresh.survey.chains)
        lost = len(repacker.unreadable)
        return Repacked(False, max_chain, before, after, repacker.made, rewritten, waiting, running, lost)

    def _begin(self) -> tuple[Repacker, list[VersionRow], tuple[str, ...]]:
        """Look at what there is: packs, then leases, then versions, as a collection does and for the same reason."""
        infos = self._store.packs()
        alive = [state for _, state in leases.living(self._history)]
        youngest = min((state.started_at for state in alive), default=now()) / 1e6
        condemned = self._turn.condemned()
        free = {info.name for info in infos if info.written_at < youngest and info.name not in condemned}
        recent = now() / 1e6 - leases.DEFAULT_GRACE
        young = {info.name for info in infos if info.name in free and info.written_at > recent}
        roots = self._collector.roots()
        rows = list(self._collector.kept())
        heads = [self._lines.version(branch.head).record for branch in self._lines.branches() if branch.head]
        blocks = frozenset(id_ for record in heads for id_ in blocks_of(self._reader, record, tensors=True))
        repacker = self._store.repacker(roots, free=free, heads=blocks, young=young)
        return repacker, rows, tuple(told(state) for state in alive)

    @property
    def _reader(self) -> Reader:
        return Reader(self._history, self._store)

    def _work(self, repacker: Repacker, progress: Progress) -> tuple[int, tuple[str, ...]]:
        """Write, and delete as it goes; the number of packs written anew, and those that have to wait."""
        rewritten = 0
        waiting: tuple[str, ...] = ()
        parts = list(repacker.rounds())
        progress.start(
            "repacking", sum(change.length for part in parts for _, chunk in part for change in chunk)
        )
        for number, part in enumerate(parts, start=1):
            self._check_room(sum(change.bytes for _, chunk in part for change in chunk))
            repacker.write(part, progress)
            for group in repacker.untidy(more=True) if number < len(parts) else ():
                if not waiting:
                    waiting = self._replace(repacker, group, progress)
                    rewritten += _older(group, repacker)
        groups = list(repacker.untidy(more=False))
        progress.start("writing packs", sum(pack.live for group in groups for pack in group))
        for group in groups:
            if waiting:  # nothing is freed by it now: the disk must not fill
                break
            waiting = self._replace(repacker, group, progress)
            rewritten += _older(group, repacker)
        if not groups and self._turn.condemned():  # what an earlier one had to leave
            waiting = self._delete(repacker, [])
        return rewritten, waiting

    def _replace(self, repacker: Repacker, group: list[Pack], progress: Progress) -> tuple[str, ...]:
        """Write what stays of some packs into others and delete them; those that have to wait."""
        self._check_room(sum(pack.live for pack in group))
        repacker.copy(group, progress)
        names = [pack.name for pack in group]
        waiting = self._delete(repacker, names)
        there = {info.name for info in self._store.packs()}
        repacker.stuck.update(there.intersection(names))
        repacker.survey.leave(set(names) - there)
        return waiting

    def _delete(self, repacker: Repacker, names: list[str]) -> tuple[str, ...]:
        def unneeded(ready: set[str]) -> Collection[str]:
            avoid = set(self._turn.condemned()) - ready
            return repacker.relieved(ready, self._collector.roots(), avoid)

        return carry_out(self._turn, self._history, self._store, names, unneeded)

    def _check_room(self, needed: int) -> None:
        check_space(self._home.place, needed)

    def _shape(
        self, repacker: Repacker, rows: list[VersionRow], found: Figures, chains: Mapping[bytes, int]
    ) -> Shape:
        living = self._living(rows)
        ends = [min(living, key=_born), max(living, key=_born)] if living else []
        costs = [
            repacker.cost(blocks_of(self._reader, parse_record(row.record, row.id)), chains) for row in ends
        ]
        newest, oldest = (costs[-1], costs[0]) if costs else (0.0, 0.0)
        return Shape(*found, newest_cost=newest, oldest_cost=oldest)

    def _living(self, rows: list[VersionRow]) -> list[VersionRow]:
        states = self._lines.states([row.first for row in rows])
        return [row for row in rows if states[row.first][1].deleted is None]

    def _tell_sizes(self, rows: list[VersionRow]) -> None:
        """Enter into the history what the files of versions take now."""
        known = self._history.contents({digest for row in rows for digest in digests_of(row)})
        changed = []
        for row in known.values():
            content = manifest.decode(self._store.get(row.manifest)).content
            stored = self._store.stored_bytes([content])
            if stored != row.stored:
                changed.append(ContentRow(row.sha256, row.size, stored, row.manifest))
        for start in range(0, len(changed), _ROWS):
            part = tuple(changed[start : start + _ROWS])
            self._history.commit(Commit(self._act.actor, REPACK, at=now(), sizes=part))


def _older(group: list[Pack], repacker: Repacker) -> int:
    """How many of the packs this repack has not written itself."""
    return sum(pack.name not in repacker.written for pack in group)


def _born(row: VersionRow) -> int:
    return row.created_at
