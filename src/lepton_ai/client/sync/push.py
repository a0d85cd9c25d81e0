"""Push: what a remote lacks goes there, durably, and then its branches move in one commit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lepton_ai.client import remotes
from lepton_ai.client.remotes import Remote
from lepton_ai.client.sync import gather, labels, receive, sealing, tombstones
from lepton_ai.client.sync.branches import lines_of, merged, moved, standing
from lepton_ai.client.sync.carry import cost
from lepton_ai.client.sync.ends import VERSIONS, End, check_same
from lepton_ai.errors import Diverged
from lepton_ai.history import states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.changes.labels import target as named_by
from lepton_ai.history.leases import Lease
from lepton_ai.history.lines import Branch
from lepton_ai.history.record import digests, parse_record
from lepton_ai.history.refs.calls import MOST, Above, Several, Since
from lepton_ai.history.refs.contract import Ref, VersionRow
from lepton_ai.history.several import above
from lepton_ai.progress import SILENT, Progress


class Pushed(msgspec.Struct, frozen=True):
    """What a push did, or with ``dry_run`` would do.

    ``branches`` moved; ``versions`` are the names of those that are new there; ``objects`` and ``bytes`` travelled;
    ``labels`` were set or removed; ``notes`` say what stays as it is there, and why.
    """

    remote: str
    url: str
    branches: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False


class Push:
    """One push of some branches of ``ours`` to ``theirs``."""

    def __init__(
        self,
        ours: AnyHome,
        theirs: AnyHome,
        remote: Remote,
        branches: Sequence[str],
        act: Act,
        progress: Progress,
    ) -> None:
        check_same(ours, theirs)
        self._ours = End(ours)
        self._theirs = End(theirs, beside=self._ours)
        self._remote, self._names, self._act, self._progress = remote, branches, act, progress
        self._moving: tuple[str, ...] = ()

    def run(self) -> Pushed:
        """Push.

        Raises:
            Diverged: a branch there has versions that this one lacks. NotFound: there is no such branch here.
            Everything that the other end raises; what has arrived there stays, and nothing of it is seen.
        """
        ours, theirs = self._ours, self._theirs
        number, changed_here = ours.changed(self._remote.state.ours)
        seen = labels.last_seen(self._ours, self._remote)
        with ours.kept("push"), theirs.kept("push", needed=self._may_go(changed_here)) as lease:
            self._foresee(changed_here, lease)
            number_there, changed_there = theirs.changed(self._remote.state.theirs)
            early = labels.pass_on(ours, theirs, seen, self._act)
            notes = tombstones.pass_on(ours, theirs, changed_here, changed_there)
            sealing.pass_on(ours.home, theirs.home)
            taken = receive.take(
                ours,
                theirs,
                lambda: self._build(changed_here),
                self._act,
                "push",
                self._progress,
                lease=lease,
            )
        late = labels.pass_on(ours, theirs, seen, self._act)
        self._remember(number, number_there, seen)
        return Pushed(
            self._remote.name, self._remote.url, self._moving, taken.names, taken.objects, taken.bytes,
            tuple(dict.fromkeys((*early.done, *late.done))), tuple(dict.fromkeys((*notes, *late.notes))),
        )  # fmt: skip

    def rehearse(self) -> Pushed:
        """What a push would do; nothing is changed."""
        _, changed = self._ours.changed(self._remote.state.ours)
        self._foresee(changed, None)
        rows, change = self._build(changed)
        found = gather.gather(self._ours, self._theirs, rows)
        size = cost(self._ours, self._theirs, set(found.ids)) if change is not None else 0
        names = tuple(found.names)
        return Pushed(
            self._remote.name, self._remote.url, self._moving, names, len(found.ids), size, dry_run=True
        )

    def _may_go(self, changed: set[bytes]) -> bool:
        """Whether anything here is otherwise than it was when the other end was last seen."""
        keys = [f"branch/{name}" for name in self._names]
        here = self._ours.history.get([*keys, *(self._remote.key(key) for key in keys)])
        pairs = ((here.get(key), here.get(self._remote.key(key))) for key in keys)
        return bool(changed) or any(
            own is None or seen is None or _head(own) != _head(seen) for own, seen in pairs
        )

    def _foresee(self, changed: set[bytes], lease: Lease | None) -> None:
        """Ask the other end at once for what is going to be looked at there."""
        ours = self._ours
        heads = [head for name in self._names if (head := ours.lines.branch(name).head) is not None]
        tracked = ours.history.get([self._remote.key(f"branch/{name}") for name in self._names]).values()
        known = tuple(bytes.fromhex(head) for head in map(_head, tracked) if head is not None)
        going = above(ours.history, Above(tuple(heads), known))
        parents = {parent for row in going for parent in row.parents}
        firsts = {*changed, *(row.first for row in ours.history.versions([*heads, *known]).values())}
        keys = [f"branch/{name}" for name in self._names]
        keys += [f"version/{first.hex()}" for first in sorted(firsts | {row.first for row in going})]
        keys += [f"line/{uid}" for uid in sorted({row.branch for row in going})]
        keys += [lease.key] if lease is not None else []
        ids = {*heads, *known, *parents, *(row.id for row in going)}
        ids |= {named_by(ref) for ref in labels.every(ours).values()}
        files = {digest for row in going for digest in digests(parse_record(row.record, row.id))}
        self._theirs.foresee(
            Several(
                tuple(keys[:MOST]), ("tag/", "alias/"), tuple(sorted(ids)[:MOST]), tuple(sorted(files)[:MOST]),
                Since(VERSIONS, self._remote.state.theirs),
            )
        )  # fmt: skip

    def _build(self, changed: set[bytes]) -> tuple[list[VersionRow], receive.Change | None]:
        """The versions that go, and the commit's moves beside them."""
        ours, theirs = self._ours, self._theirs
        going = [found for name in self._names if (found := self._goes(ours.lines.branch(name))) is not None]
        rows = gather.versions(ours, theirs, [b.head for b, _ in going if b.head])
        coming = {row.id for row in rows}
        revised, moves = receive.revised(ours, theirs, changed)
        rows += [row for row in revised if row.id not in coming]
        moves += lines_of(ours, theirs, {row.branch for row in rows})
        checks: dict[str, int] = {}
        for branch, there in going:
            own, held = moved(branch, theirs, branch.name, coming, there)
            moves, checks = merged(moves, own), checks | held
        self._moving = tuple(branch.name for branch, _ in going)
        if not moves and not rows:
            return [], None
        return rows, receive.Change(tuple(moves), checks)

    def _goes(self, branch: Branch) -> tuple[Branch, Ref | None] | None:
        """The branch when it has something for the other end, and what stands there as it was judged.

        Raises:
            Diverged.
        """
        theirs, key = self._theirs, f"branch/{branch.name}"
        ref = theirs.history.get([key]).get(key)
        there = states.decode(states.BranchState, ref) if ref is not None else None
        where = self._remote.name
        if branch.head is None:
            return None
        if there is not None and there.deleted is not None:
            raise Diverged(
                f"branch {branch.name!r} was deleted in {where} by {there.deleted.by}",
                hint=f"lepton branch --rename {branch.name} NEW, then push that",
            )
        first = self._ours.lines.version(branch.head).row.first
        gone = theirs.lines.states([first]).get(first)
        if gone is not None and gone[1].deleted is not None:
            raise Diverged(
                f"the newest version of {branch.name!r} was deleted in {where} by {gone[1].deleted.by}",
                hint=f"lepton pull {where}",
            )
        if there is None or there.head is None:
            return branch, ref
        found = standing(self._ours, branch.head, theirs, bytes.fromhex(there.head))
        if found in ("apart", "holds"):
            raise Diverged(
                f"branch {branch.name!r} has versions in {where} that are not in yours",
                hint=f"lepton pull {where} --merge (or --rebase), then push again",
            )
        return (branch, ref) if found == "ahead" else None

    def _remember(self, ours: int, theirs: int, before: dict[str, bytes]) -> None:
        seen = dict(self._theirs.values([f"branch/{name}" for name in self._names]))
        seen |= agreed(self._ours, self._theirs, before)
        remotes.remember(self._ours.history, self._remote, seen, self._act, ours, theirs)


def _head(ref: Ref) -> str | None:
    return states.decode(states.BranchState, ref).head


def agreed(ours: End, theirs: End, before: dict[str, bytes]) -> dict[str, bytes | None]:
    """Tags and aliases on which both ends agree now; where they do not, what was seen before stays."""
    here, there = labels.every(ours), labels.every(theirs)
    found: dict[str, bytes | None] = {}
    for key in here.keys() | there.keys() | before.keys():
        if labels.meant(here.get(key)) == labels.meant(there.get(key)):
            found[key] = here[key].value if key in here else None
    return found


def push(
    ours: AnyHome, theirs: AnyHome, remote: Remote, branches: Sequence[str], act: Act, progress: Progress = SILENT,
    *, dry_run: bool = False,
) -> Pushed:  # fmt: skip
    """Bring the branches of ``ours`` to ``theirs``; see :class:`Push`."""
    one = Push(ours, theirs, remote, branches, act, progress)
    return one.rehearse() if dry_run else one.run()
