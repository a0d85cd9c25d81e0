"""Garbage collection: free what no living or restorable version reaches, and nothing that a running save needs.

The order makes it safe at every instruction:

0. become the only collection: two at once could each delete the other's copy of the same object;
1. list the packs, then the leases, then the versions: a save that ended in between is among the versions, one that
   still runs is among the leases, and its packs are younger than its lease;
2. read what the other versions are made of, then mark deleted ones whose grace is over as freed (compare-and-set: a
   restore wins or loses wholly); free what a save stored twice and could not settle;
3. condemn dead packs in one commit that moves the epoch: a save that relied on one of them and commits later sees the
   epoch and begins anew, one that committed before is found in step 5;
4. wait for the leases that there were at that commit; no clock is compared;
5. look at the versions again, acquit what they need, delete the rest, and remove the condemnations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import IntegrityError
from lepton_ai.history import given, leases, manifest, states
from lepton_ai.history.changes import deletion, merging
from lepton_ai.history.changes.attempt import Act, attempt, now
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import digests, parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.sentence import carry_out
from lepton_ai.history.settle import free
from lepton_ai.history.turns import Turn, patiently, told
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import PackUse
from lepton_ai.store.store import Store

TURN_WAIT = 60.0
"""Seconds for which saves that settle are waited for."""
MOSTLY_DEAD = 0.5
CHUNK = 1000


class Report(msgspec.Struct, frozen=True):
    """What a collection did, or with ``dry_run`` would do.

    ``versions``: names of the deleted versions whose bytes are freed. ``packs`` and ``bytes``: what is deleted.
    ``rewritten``: packs whose living part is copied first. ``waiting``: packs condemned but left, because a save that
    began before still runs. ``running``: what runs, and holds younger packs. ``kept_bytes``: what stays.
    """

    dry_run: bool
    versions: tuple[str, ...]
    packs: tuple[str, ...]
    bytes: int
    rewritten: tuple[str, ...]
    waiting: tuple[str, ...]
    kept_bytes: int
    running: tuple[str, ...] = ()


class Collector:
    """One collection over one repository."""

    def __init__(self, lines: Lines, store: Store, act: Act, progress: Progress = SILENT) -> None:
        self._lines, self._store, self._act, self._progress = lines, store, act, progress
        self._history = lines.history
        self._turn = Turn(self._history, act)

    def run(self, *, grace: float = leases.DEFAULT_GRACE, dry_run: bool = False) -> Report:
        """Collect. ``grace`` in seconds; see :class:`Report`.

        Raises:
            UsageError: ``grace`` is no number of seconds.
            Busy: another collection is running.
        """
        grace = given.seconds(grace, "grace")
        if dry_run:
            return self._run(now() - int(grace * 1e6), dry_run=True)
        patiently(TURN_WAIT, self._turn.begin)
        try:
            return self._run(now() - int(grace * 1e6), dry_run=False)
        finally:
            self._turn.end()

    def _run(self, before: int, *, dry_run: bool) -> Report:
        self._bury_dead_leases(dry_run)
        infos = {info.name: info for info in self._store.packs()}
        alive = [state for _, state in leases.living(self._history)]
        youngest = min([*(state.started_at for state in alive), before]) / 1e6
        running = tuple(told(state) for state in alive)
        due = self._due(before)
        roots = self.roots(without=set(due))  # first: what cannot be read leaves everything restorable
        purged = (
            due
            if dry_run
            else attempt(self._history, lambda: deletion.purge(self._lines, due, before, self._act))
        )
        twice = self._twice(roots, dry_run)
        uses = [
            u for u in self._store.live(roots, avoid={*twice, *self._turn.condemned()}) if u.pack in infos
        ]
        old = [use for use in uses if infos[use.pack].written_at < youngest or use.pack in twice]
        dead = [use.pack for use in old if not use.live]
        mixed = [
            u.pack for u in old if u.live and not u.lost and (u.spoiled or _mostly_dead(u) or u.pack in twice)
        ]
        names = tuple(self._lines.version(first).row.name for first in purged)
        freed = sum(use.dead for use in old if use.pack in {*dead, *mixed})
        total = sum(info.size for info in infos.values())
        if dry_run:
            return Report(True, names, tuple(dead), freed, tuple(mixed), (), total - freed, running)
        waiting = self._delete(dead, mixed)
        left = sum(info.size for info in self._store.packs())
        gone = tuple(dict.fromkeys(name for name in [*twice, *dead, *mixed] if name not in waiting))
        return Report(False, names, gone, total - left, tuple(mixed), waiting, left, running)

    def _twice(self, roots: Collection[bytes], dry_run: bool) -> list[str]:
        """Free what is stored in full and as a difference as well, if the difference is to something that counts."""
        strangers = self._store.strangers(roots)
        if not dry_run:
            return free(self._turn, self._history, self._store, None, strangers)
        spare = self._store.spare(None, avoid={*strangers, *self._turn.condemned()})
        return [*spare.whole, *spare.partly]

    def roots(self, *, without: Collection[bytes] = ()) -> set[bytes]:
        """Ids of all objects that living and restorable versions are made of, in all their revisions, or merges need.

        Raises:
            Damaged, TooNew: what a version is made of cannot be read; names it.
        """
        digests = {digest for row in self.kept(without) for digest in digests_of(row)}
        digests |= merging.digests(self._lines)
        roots: set[bytes] = set()
        for kept_at in self._history.contents(digests).values():
            try:
                content = manifest.decode(self._store.get(kept_at.manifest)).content
            except IntegrityError as problem:
                raise self._unreadable(problem, kept_at.sha256, without) from problem
            roots.add(kept_at.manifest)
            for stream in content.streams:
                roots.update(stream.ids)
        return roots

    def _unreadable(
        self, problem: IntegrityError, digest: bytes, without: Collection[bytes]
    ) -> IntegrityError:
        labels = {
            f"{parse_record(row.record, row.id).branch}@{row.name}": None
            for row in self.kept(without)
            if digest in digests_of(row)
        }
        return type(problem)(
            f"it cannot be told what {', '.join(labels)} still needs, so nothing may be freed: {problem.message}",
            hint="save the same files again, bring the pack back from a backup, or delete what is lost for good "
            "(lepton delete) and repeat with --grace 0",
        )

    def kept(self, without: Collection[bytes] = ()) -> Iterator[VersionRow]:
        """Every revision of the versions that are not purged, but for those whose first revision is in ``without``."""
        for firsts in self._versions():
            kept = [
                first
                for first, (_, state) in self._lines.states(firsts).items()
                if state.purged_at is None and first not in without
            ]
            for rows in self._history.revisions(kept).values():
                yield from rows

    def _delete(self, dead: list[str], mixed: list[str]) -> tuple[str, ...]:
        """Steps 3 to 5; the packs that have to wait for a later collection."""
        if mixed:
            self._store.compact(mixed, self.roots(), avoid=set(self._turn.condemned()))
        return carry_out(self._turn, self._history, self._store, [*dead, *mixed], self._unneeded)

    def _unneeded(self, ready: set[str]) -> set[str]:
        uses = {use.pack: use for use in self._store.live(self.roots(), avoid=ready)}
        return {
            name for name in ready if not (name in uses and uses[name].live) and self._store.indexed(name)
        }

    def _due(self, before: int) -> list[bytes]:
        """Deleted versions whose grace is over."""
        return [
            first
            for firsts in self._versions()
            for first, (_, state) in self._lines.states(firsts).items()
            if state.deleted is not None and state.purged_at is None and state.deleted.at <= before
        ]

    def _versions(self) -> Iterable[list[bytes]]:
        before: int | None = None
        while page := self._history.page(before=before, limit=CHUNK):
            before = page[-1][0]
            yield [row.id for _, row in page]

    def _bury_dead_leases(self, dry_run: bool) -> None:
        if dry_run:
            return
        alive = {ref.key for ref, _ in leases.living(self._history)}
        dead = [ref for ref in self._history.scan("lease/") if ref.key not in alive]
        self._turn.commit([replace(states.clear(ref), logged=False) for ref in dead])


def _mostly_dead(use: PackUse) -> bool:
    return use.dead > MOSTLY_DEAD * (use.live + use.dead)


def digests_of(row: VersionRow) -> set[bytes]:
    """SHA-256 of everything that a revision's record refers to: files and attachments."""
    return digests(parse_record(row.record, row.id))
