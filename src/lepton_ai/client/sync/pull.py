"""Pull: what a remote has and this repository lacks comes here, durably, and then branches move in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from lepton_ai.client import remotes
from lepton_ai.client.home import FarHome
from lepton_ai.client.remotes import Remote
from lepton_ai.client.sync import gather, labels, receive, sealing, tombstones, updates
from lepton_ai.client.sync.branches import lines_of, merged, moved, standing
from lepton_ai.client.sync.carry import cost
from lepton_ai.client.sync.ends import VERSIONS, End, check_same
from lepton_ai.client.sync.push import agreed
from lepton_ai.client.sync.updates import Taken
from lepton_ai.history import states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.lines import Branch
from lepton_ai.history.refs.calls import MOST, Above, Several, Since
from lepton_ai.history.refs.contract import Move, Ref, VersionRow
from lepton_ai.progress import SILENT, Progress

if TYPE_CHECKING:
    from lepton_ai.history.merging.report import Preview


class Pulled(msgspec.Struct, frozen=True):
    """What a pull brought, or with ``dry_run`` would bring.

    ``branches`` moved or are new here; ``apart`` are those where both ends have versions of their own: they stay as
    they are, until they are merged. ``versions`` are the names of new versions; ``objects`` and ``bytes`` travelled.
    ``preview``: of the merge that was to be foretold; ``steps``: of a rebase, for each version that it takes over, up
    to the first that it cannot.
    """

    remote: str
    url: str
    branches: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    preview: Preview | None = None
    steps: tuple[Preview, ...] = ()


NEVER = 2**62
"""The number of an entry that no log reaches."""


class Pull:
    """One pull from ``theirs``: of all living branches, or of those ``only``. ``blocks``: False leaves them there.

    ``taking``: whose value stands where both ends updated the same of a version (None: it is an error).
    """

    def __init__(
        self, ours: AnyHome, theirs: AnyHome, remote: Remote, act: Act, progress: Progress = SILENT,
        *, only: str | None = None, blocks: bool = True, taking: Taken | None = None,
    ) -> None:  # fmt: skip
        check_same(ours, theirs)
        if isinstance(theirs, FarHome):
            theirs.borrow(ours.keyring)
        self._ours = End(ours)
        self._theirs = End(theirs, beside=self._ours)
        self._remote, self._act, self._progress = remote, act, progress
        self._only, self._blocks, self._taking = only, blocks, taking
        self._moving: tuple[str, ...] = ()
        self._apart: tuple[str, ...] = ()
        self._joined: list[str] = []

    def run(self) -> Pulled:
        """Pull.

        Raises:
            NotFound: there is no such branch there. Diverged: the same of a version was updated at both ends.
            Everything that the other end raises; what has arrived stays, and nothing of it is seen.
        """
        ours, theirs = self._ours, self._theirs
        number, here = ours.changed(self._remote.state.ours)
        seen = labels.last_seen(self._ours, self._remote)
        self._foresee(number)
        number_there, there = theirs.changed(self._remote.state.theirs)
        early = labels.pass_on(theirs, ours, seen, self._act)
        notes = tombstones.pass_on(theirs, ours, there, here)
        sealing.pass_on(theirs.home, ours.home)
        with ours.kept("pull"):
            taken = receive.take(
                theirs,
                ours,
                lambda: self._build(there),
                self._act,
                "pull",
                self._progress,
                blocks=self._blocks,
            )
        late = labels.pass_on(theirs, ours, seen, self._act)
        agreed_now = agreed(ours, theirs, seen)
        remotes.remember(ours.history, self._remote, agreed_now, self._act, number, number_there)
        return Pulled(
            self._remote.name, self._remote.url, self._moving, self._apart, taken.names, taken.objects, taken.bytes,
            tuple(dict.fromkeys((*early.done, *late.done))), tuple(dict.fromkeys((*self._joined, *notes, *late.notes))),
        )  # fmt: skip

    def rehearse(self) -> Pulled:
        """What a pull would bring; nothing is changed."""
        self._foresee(self._ours.moves())
        rows, _ = self._build(self._theirs.changed(self._remote.state.theirs)[1])
        found = gather.gather(self._theirs, self._ours, rows, blocks=self._blocks)
        size = cost(self._theirs, self._ours, set(found.ids))
        return Pulled(
            self._remote.name, self._remote.url, self._moving, self._apart, tuple(found.names), len(found.ids), size,
            notes=tuple(self._joined), dry_run=True,
        )  # fmt: skip

    def _foresee(self, number: int) -> None:
        """Ask the other end at once for what is going to be looked at there. ``number``: that of our own log."""
        ours, prefix = self._ours, self._remote.key("branch/")
        tracked = [states.decode(states.BranchState, ref).head for ref in ours.history.scan(prefix)]
        heads = [bytes.fromhex(head) for head in tracked if head is not None]
        heads += [branch.head for branch in ours.lines.branches() if branch.head is not None]
        known = {*heads, *(id_ for row in ours.history.versions(heads).values() for id_ in row.parents)}
        keys = () if self._only is None else (f"branch/{self._only}",)
        prefixes = ("tag/", "alias/", "condemned/") + (("branch/",) if self._only is None else ())
        # where nothing is yet, nothing can have been deleted or updated meanwhile
        since = self._remote.state.theirs if number else NEVER
        self._theirs.foresee(
            Several(
                keys, prefixes, tuple(sorted(known)[:MOST]), since=Since(VERSIONS, since),
                above=Above(known=tuple(sorted(known)[:MOST]), branches=True),
            )
        )  # fmt: skip

    def _build(self, changed: set[bytes]) -> tuple[list[VersionRow], receive.Change | None]:
        """The versions that come, and the commit's moves beside them."""
        ours, theirs = self._ours, self._theirs
        known = [theirs.lines.branch(self._only)] if self._only is not None else theirs.lines.branches()
        coming = gather.versions(theirs, ours, [b.head for b in known if b.head])
        ids = {row.id for row in coming}
        self._joined = []
        revised, moves = receive.revised(theirs, ours, changed, self._join)
        rows = [*coming, *(row for row in revised if row.id not in ids)]
        moves += lines_of(theirs, ours, {row.branch for row in rows})
        checks: dict[str, int] = {}
        going, apart = [], []
        for branch in known:
            how, here = self._how(branch)
            if how == "moves":
                own, held = moved(branch, ours, branch.name, ids, here)
                moves, checks = merged(moves, own), checks | held
                going.append(branch.name)
            elif how == "apart":
                apart.append(branch.name)
        moves += self._tracked(known)
        self._moving, self._apart = tuple(going), tuple(apart)
        if not moves and not rows:
            return [], None
        return rows, receive.Change(tuple(moves), checks)

    def _join(
        self,
        mine: Mapping[bytes, VersionRow],
        theirs: Mapping[bytes, VersionRow],
        newest: tuple[bytes, bytes],
    ) -> VersionRow | None:
        self._joined.append(f"{mine[newest[0]].name} was updated in both places; it has what both changed")
        return updates.join(mine, theirs, newest, self._act, self._remote.name, self._taking)

    def _how(self, branch: Branch) -> tuple[str, Ref | None]:
        """What becomes of our branch of this name: "moves", "stays", or "apart"; and what it was when it was judged."""
        key = f"branch/{branch.name}"
        ref = self._ours.history.get([key]).get(key)
        here = states.decode(states.BranchState, ref) if ref is not None else None
        if here is not None and here.deleted is not None:
            return "stays", ref
        if branch.head is None:
            return ("stays" if here is not None else "moves"), ref
        if here is None or here.head is None:
            return "moves", ref
        found = standing(self._theirs, branch.head, self._ours, bytes.fromhex(here.head))
        if found in ("ahead", "holds"):
            return "moves", ref
        return ("apart" if found in ("apart", "held") else "stays"), ref

    def _tracked(self, known: list[Branch]) -> list[Move]:
        """Keep where the branches stand there; what is not there any more is forgotten."""
        prefix = self._remote.key("branch/")
        there = {ref.key: ref for ref in self._ours.history.scan(prefix)}
        moves = []
        for branch in known:
            ref = there.pop(prefix + branch.name, None)
            if ref is None or ref.value != branch.ref.value:
                moves.append(
                    Move(prefix + branch.name, ref.stamp if ref else 0, branch.ref.value, logged=False)
                )
        if self._only is None:
            moves += [Move(ref.key, ref.stamp, None, logged=False) for ref in there.values()]
        return moves
