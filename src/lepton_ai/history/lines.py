"""Reading the history: branches, and from an address to a version."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lepton_ai.errors import AlreadyExists, Ambiguous, Damaged, NotFound
from lepton_ai.history import graph, names, states
from lepton_ai.history.record import parse_record, timestamp
from lepton_ai.history.refs.contract import ABSENT, History, Ref, VersionRow
from lepton_ai.types import Record

MAIN = "main"
_WITH_ARTICLE = {"branch": "a branch", "tag": "a tag", "alias": "an alias"}


class Branch(msgspec.Struct, frozen=True):
    """A branch as read: its ref (for compare-and-set) and state."""

    name: str
    ref: Ref
    state: states.BranchState

    @property
    def head(self) -> bytes | None:
        """The newest revision's id."""
        return bytes.fromhex(self.state.head) if self.state.head else None


class Found(msgspec.Struct, frozen=True):
    """A version as read: the revision that was meant, and the state of the version in all its revisions."""

    row: VersionRow
    ref: Ref
    state: states.VersionState

    @property
    def key(self) -> str:
        """The key of the version's state."""
        return self.ref.key

    @property
    def living(self) -> bool:
        """Neither deleted nor purged."""
        return self.state.deleted is None and self.state.purged_at is None

    @property
    def newest(self) -> bytes:
        """The newest revision's id."""
        return bytes.fromhex(self.state.newest)

    @property
    def record(self) -> Record:
        """What the revision carries."""
        return parse_record(self.row.record, self.row.id)


class Lines:
    """Questions to a history; every answer is read afresh."""

    def __init__(self, history: History) -> None:
        self.history = history

    def branch(self, name: str, *, deleted: bool = False) -> Branch:
        """A living branch (with ``deleted``: also a deleted one).

        Raises:
            NotFound: there is none of this name.
        """
        ref = self.history.get([f"branch/{name}"]).get(f"branch/{name}")
        state = states.decode(states.BranchState, ref) if ref else None
        if ref is None or state is None:
            raise NotFound(f"there is no branch {name!r}", hint="lepton branch lists them")
        if state.deleted is not None and not deleted:
            raise NotFound(
                f"branch {name!r} was deleted by {state.deleted.by} on {timestamp(state.deleted.at)[:10]}",
                hint=f"lepton restore --branch {name} brings it back",
            )
        return Branch(name, ref, state)

    def branches(self, *, deleted: bool = False) -> list[Branch]:
        """All branches, main first, then by name."""
        found = [
            Branch(ref.key.removeprefix("branch/"), ref, states.decode(states.BranchState, ref))
            for ref in self.history.scan("branch/")
        ]
        kept = [branch for branch in found if deleted or branch.state.deleted is None]
        return sorted(kept, key=lambda branch: (branch.name != MAIN, branch.name))

    def version(self, version_id: bytes) -> Found:
        """A version by the id of one of its revisions."""
        return self._with_state(graph.row(self.history, version_id))

    def resolve(self, address: str, current: str = MAIN, *, deleted: bool = False) -> Found:
        """The version that ``address`` means: ``branch@name``, a name on ``current``, tag, alias, branch, id prefix.

        Raises:
            NotFound: there is none, or (without ``deleted``) it was deleted.
            Ambiguous: an id prefix fits several versions.
            InvalidName: it is no address.
        """
        meant = names.parse(address)
        found = self._by_name(meant, current) or (self._by_label(meant) if meant.branch is None else None)
        if found is None:
            where = meant.branch or current
            self.branch(where, deleted=True)  # that it is missing says more
            self._refuse_empty(meant)
            raise NotFound(
                f"there is no version {meant.name!r} on branch {where!r}"
                + ("" if meant.branch else ", and no such tag, alias or id"),
                hint="lepton versions lists what there is",
            )
        if meant.revision is not None:
            found = self._revision(found, meant.revision)
        if not deleted and not found.living:
            raise NotFound(_gone(address, found), hint=_way_back(address, found))
        return found

    def on_branch(self, branch: Branch, name: str) -> Found | None:
        """The version called ``name`` on the branch's line, or one that the line stepped back behind."""
        candidates = self.history.named(name)
        if not candidates:
            return None
        if len(candidates) == 1 and candidates[0].branch == branch.state.uid:
            return self._newest(candidates[0])  # on the line or behind it, it is the one
        head = graph.row(self.history, branch.head) if branch.head else None
        for first in reversed(candidates):
            if head is not None:
                place = graph.ancestor_at(self.history, head, first.depth)
                if place is not None and place.first == first.id:
                    return self._newest(first)
        for first in reversed(candidates):
            if first.branch == branch.state.uid:
                return self._newest(first)
        return None

    def free(self, kind: str, name: str) -> dict[str, int]:
        """Checks for a commit that calls a ``kind`` so: no branch, tag or alias of another kind may be called the same.

        Raises:
            AlreadyExists: one is.
        """
        others = [f"{other}/{name}" for other in ("branch", "tag", "alias") if other != kind]
        refs = self.history.get(others)
        for key, ref in refs.items():
            if key.startswith("branch/") and states.decode(states.BranchState, ref).deleted is not None:
                continue
            what = key.partition("/")[0]
            raise AlreadyExists(
                f"there is {_WITH_ARTICLE[what]} {name!r} already; one name must not mean two things",
                hint="choose another name",
            )
        return {key: refs[key].stamp if key in refs else ABSENT for key in others}

    def line(self, branch: Branch) -> Iterator[VersionRow]:
        """The branch's versions from the newest down its first parents, as the revision that was built upon."""
        head = graph.row(self.history, branch.head) if branch.head else None
        return graph.first_parents(self.history, head)

    def stepped_back(self, branch: Branch) -> list[bytes]:
        """First-revision ids of versions that the branch stepped back behind."""
        prefix = f"off/{branch.state.uid}/"
        return [bytes.fromhex(ref.key.removeprefix(prefix)) for ref in self.history.scan(prefix)]

    def revisions(self, found: Found) -> list[VersionRow]:
        """A version's revisions in order: those that the newest one comes from.

        What was updated at two places and brought together has others beside these, which only their ids name.
        """
        rows = self.history.revisions([found.row.first])[found.row.first]
        if len(rows) == found.state.revisions:
            return rows
        by_id = {row.id: row for row in rows}
        line: list[VersionRow] = []
        current: str | None = found.state.newest
        while current is not None:
            line.append(by_id[bytes.fromhex(current)])
            current = parse_record(line[-1].record, line[-1].id).revises
        return line[::-1]

    def all_of(self, ids: list[bytes]) -> dict[bytes, Found]:
        """Versions by the ids of revisions of theirs, in two questions.

        Raises:
            Damaged: one is not there.
        """
        rows = self.history.versions(ids)
        known = self.states([row.first for row in rows.values()])
        if len(rows) < len(set(ids)) or any(row.first not in known for row in rows.values()):
            return {one: self.version(one) for one in ids}  # which says what is wrong
        return {one: Found(row, *known[row.first]) for one, row in rows.items()}

    def states(self, firsts: list[bytes]) -> dict[bytes, tuple[Ref, states.VersionState]]:
        """States of versions by the ids of their first revisions."""
        refs = self.history.get([f"version/{first.hex()}" for first in firsts])
        return {
            bytes.fromhex(key.removeprefix("version/")): (ref, states.decode(states.VersionState, ref))
            for key, ref in refs.items()
        }

    def _with_state(self, row: VersionRow) -> Found:
        found = self.states([row.first]).get(row.first)
        if found is None:
            raise Damaged(
                f"version {row.id.hex()[:12]} has lost its state", hint="restore the history from a backup"
            )
        return Found(row, *found)

    def _newest(self, first: VersionRow) -> Found:
        """The newest revision of a version whose first one is ``first``."""
        found = self._with_state(first)
        if found.newest == first.id:
            return found
        return Found(graph.row(self.history, found.newest), found.ref, found.state)

    def _by_name(self, meant: names.Address, current: str) -> Found | None:
        if meant.branch is not None:
            return self.on_branch(self.branch(meant.branch), meant.name)
        ref = self.history.get([f"branch/{current}"]).get(f"branch/{current}")
        if ref is None:
            return None
        return self.on_branch(Branch(current, ref, states.decode(states.BranchState, ref)), meant.name)

    def _by_label(self, meant: names.Address) -> Found | None:
        keys = [f"tag/{meant.name}", f"alias/{meant.name}", f"branch/{meant.name}"]
        refs = self.history.get(keys)
        for key in keys[:2]:
            if key in refs:
                label = states.decode(states.LabelState, refs[key])
                return self.version(bytes.fromhex(label.version))
        if keys[2] in refs:
            state = states.decode(states.BranchState, refs[keys[2]])
            if state.head is not None and state.deleted is None:
                return self.version(bytes.fromhex(state.head))
        return self._by_id(meant.name)

    def _refuse_empty(self, meant: names.Address) -> None:
        ref = self.history.get([f"branch/{meant.name}"]).get(f"branch/{meant.name}")
        if meant.branch is None and ref is not None:
            branch = self.branch(meant.name)
            raise NotFound(f"branch {branch.name!r} has no version yet", hint="save one first")

    def _by_id(self, prefix: str) -> Found | None:
        if not names.is_id_prefix(prefix):
            return None
        ids = self.history.find(prefix, limit=3)
        if len(ids) > 1:
            raise Ambiguous(
                f"{prefix!r} is the beginning of several version ids: "
                + ", ".join(i.hex()[:16] for i in ids),
                hint="write more digits",
            )
        return self.version(ids[0]) if ids else None

    def _revision(self, found: Found, number: int) -> Found:
        rows = self.revisions(found)
        for row in rows:
            if row.revision == number:
                return Found(row, found.ref, found.state)
        raise NotFound(
            f"{found.row.name!r} has {len(rows)} revision{'s' if len(rows) > 1 else ''}, not {number}",
            hint=f"the first is {found.row.name}~1",
        )


def _gone(address: str, found: Found) -> str:
    gone = found.state.deleted
    if found.state.purged_at is not None:
        return f"version {address!r} was deleted, and its bytes were freed on {timestamp(found.state.purged_at)[:10]}"
    assert gone is not None  # noqa: S101  (not living and not purged: deleted)
    why = f": {gone.why}" if gone.why else ""
    return f"version {address!r} was deleted by {gone.by} on {timestamp(gone.at)[:10]}{why}"


def _way_back(address: str, found: Found) -> str:
    if found.state.purged_at is not None:
        return "only a backup still has it"
    return f"lepton restore {address} brings it back"
