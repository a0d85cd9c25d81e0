"""Save: files → blocks → version → branch, begun anew when garbage collection got in the way or a pack is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import LostRace, NoSpace, UsageError
from lepton_ai.history import provenance, saved_alike
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.carried import Prepared, code_and_environment, fill
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, Result, attempt
from lepton_ai.history.checkout import check_space
from lepton_ai.history.files import Found, check_and_sort
from lepton_ai.history.lines import Found as FoundVersion
from lepton_ai.history.lines import Lines
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import metric_values, parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.settle import settled
from lepton_ai.history.writing import CondemnedMeanwhile, Saving
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import PackGone
from lepton_ai.store.durable import storage_errors
from lepton_ai.types import Operation, Record

if TYPE_CHECKING:
    from lepton_ai.history.bundle import Unpacked

TRIES = 5
EMPTY = Record(name="", branch="", author="", created_at="", operation=Operation("save"), files=())


class Order(msgspec.Struct, frozen=True):
    """What to save. ``files`` None keeps the files of ``start``; ``parent`` gives bases for differences.

    ``start`` is the record to begin from: empty for a new version, the old one for an update.
    ``working`` is the folder whose git checkout is recorded; None records none. ``turn``: the parent is the newest
    version of this one branch, and ceases to be so: its blocks may become differences to the new ones.
    """

    operation: Operation
    files: list[Found] | None = None
    start: Record = EMPTY
    parent: Record | None = None
    prepared: Prepared = msgspec.field(default_factory=Prepared)
    working: Path | None = None
    attachments: tuple[bytes, ...] = ()
    turn: bool = False


class Saved(msgspec.Struct, frozen=True):
    """The version that was made, and what people should know about it. ``new_bytes``: what the packs grew."""

    row: VersionRow
    notes: tuple[str, ...] = ()
    new_bytes: int = 0


class Start(msgspec.Struct, frozen=True):
    """What a draft was opened upon: the branch and its head, or the version that it revises."""

    branch: str
    name: str | None
    head: bytes | None
    revises: FoundVersion | None = None
    line: str | None = None


class Saver:
    """The saving verbs over one opened repository, for one actor."""

    def __init__(self, home: AnyHome, lines: Lines, working: Path | None, bars: Progress = SILENT) -> None:
        self._home, self._lines, self._working, self._progress = home, lines, working, bars

    def fill(self, start: Start, files: list[Found] | None, prepared: Prepared, act: Act) -> Saved:
        """The version or revision that ``start`` was taken for; without files its content stays.

        Raises:
            LostRace: the branch or version has moved on.
        """
        if start.revises is not None:
            return self.revision(start.revises, files, prepared, act)
        if files is None:
            return self.copy(start, prepared, act)
        return self.new(
            start.branch, files, prepared, act, name=start.name, expected=start.head, line=start.line
        )

    def new(
        self,
        branch: str,
        files: list[Found],
        prepared: Prepared,
        act: Act,
        *,
        name: str | None = None,
        expected: object = changes.ANY,
        line: str | None = None,
    ) -> Saved:
        """The next version of a branch, upon ``expected`` (a head's id or None) where that is given.

        Raises:
            LostRace: the branch's head is not ``expected``, or its lasting identity not ``line``.
        """
        head = self.head(branch, expected)
        parent = self._lines.version(head).record if head else None
        order = Order(
            Operation("save"),
            files,
            parent=parent,
            prepared=prepared,
            working=self._working,
            turn=self._alone(head),
        )
        return self._run(order, self._new(branch, act, name, expected, line))

    def head(self, branch: str, expected: object = changes.ANY) -> bytes | None:
        """What a save onto a branch builds upon, if it is still ``expected``.

        Raises:
            NotFound: there is no such branch. LostRace: it has moved on.
        """
        head = self._lines.branch(branch).head
        if expected is not changes.ANY and expected != head:
            raise LostRace(f"branch {branch!r} has moved on", hint="look at its newest version, then repeat")
        return head

    def _alone(self, head: bytes | None) -> bool:
        """Whether exactly one branch stands on this version, whose blocks may be stored again as differences."""
        return bool(head) and self._home.frees and [b.head for b in self._lines.branches()].count(head) == 1

    def copy(self, start: Start, prepared: Prepared, act: Act) -> Saved:
        """A version with the content of its parent.

        Raises:
            UsageError: there is no parent.
            LostRace: the branch has moved on.
        """
        if start.head is None:
            raise UsageError(
                "nothing was saved into the draft, and the branch is empty", hint="save a model into it"
            )
        record = replace(self._lines.version(start.head).record, message="")
        order = Order(Operation("save", detail="content of its parent"), None, record, prepared=prepared)
        return self._run(order, self._new(start.branch, act, start.name, start.head, start.line))

    def revision(
        self, revised: FoundVersion, files: list[Found] | None, prepared: Prepared, act: Act
    ) -> Saved:
        """A new revision of a version; what is not given stays.

        Raises:
            LostRace: somebody else updated it meanwhile.
        """
        old = self._lines.version(revised.newest).record
        working = self._working if files is not None else None
        turn = self._alone(revised.newest)
        order = Order(Operation("update"), files, old, old, prepared, working, turn=turn)

        def build(draft: changes.Draft) -> Result[VersionRow]:
            return changes.new_revision(self._lines, revised.row.first, draft, act, expected=revised.newest)

        return self._run(order, build)

    def imported(self, unpacked: Unpacked, branch: str, name: str | None, act: Act) -> Saved:
        """A version from an exported one: everything but its place in the history is kept."""
        old = unpacked.header.record
        operation = Operation("import", unpacked.header.id, f"{old.branch}@{old.name}")
        head = self._lines.branch(branch).head
        parent = self._lines.version(head).record if head else None
        prepared = Prepared({"author": old.author})
        order = Order(
            operation,
            unpacked.files,
            old,
            parent,
            prepared,
            attachments=tuple(unpacked.attachments.values()),
            turn=self._alone(head),
        )
        return self._run(order, self._new(branch, act, name, changes.ANY))

    def rollback(self, address: str, branch: str, act: Act, message: str | None) -> VersionRow:
        """A new version that carries what an older one carries; no bytes are written."""

        def build() -> Result[VersionRow]:
            old = self._lines.resolve(address, branch)
            operation = Operation("rollback", old.row.id.hex())
            text = message or f"Roll back to {old.row.name}"
            record = replace(old.record, operation=operation, message=text, revises=None, author="")
            draft = changes.Draft(record, checks={old.key: old.ref.stamp})
            return changes.new_version(self._lines, branch, draft, act)

        return attempt(self._home.history, build)

    def _new(
        self, branch: str, act: Act, name: str | None, expected: object, line: str | None = None
    ) -> Callable[[changes.Draft], Result[VersionRow]]:
        return lambda draft: changes.new_version(
            self._lines, branch, draft, act, name=name, expected=expected, line=line
        )

    def _run(self, order: Order, build: Callable[[changes.Draft], Result[VersionRow]]) -> Saved:
        return save(self._home, order, build, progress=self._progress)


def save(
    home: AnyHome,
    order: Order,
    build: Callable[[changes.Draft], Result[VersionRow]],
    *,
    progress: Progress = SILENT,
) -> Saved:
    """Store what ``order`` says and make the commit that ``build`` computes; nothing is visible before that.

    Raises:
        LostRace: what it must build upon is not the newest any more.
        NoSpace, StorageFailed, Busy, KeyMissing, UsageError.
    """
    files = None if order.files is None else check_and_sort(order.files)
    order = replace(order, files=files)
    _rehearse(replace(order.start, operation=order.operation, **order.prepared.changes), build)
    if files is not None:
        _check_room(home, files, progress)
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            return _save(home, order, build, progress)
        except (CondemnedMeanwhile, PackGone):
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def _check_room(home: AnyHome, files: list[Found], progress: Progress) -> None:
    """Raise NoSpace when the files may not fit. When it is tight they are read: what is kept already takes nothing.

    Raises:
        NoSpace, StorageFailed.
    """
    total = sum(file.size for file in files if not file.stored)
    try:
        check_space(home.place, total)
    except NoSpace:
        progress.start("looking for what is stored already", total)
        reader, seen = Reader(home.history, home.store), home.seen()
        new = {file.path.encode(): file.size for file in files if file.source is not None and not file.stored}
        for file in files:
            if file.lies_there:
                with storage_errors(file.place):
                    digest = seen.digest(file.place, file.name)
                new |= {} if reader.readable(digest) else {digest: file.size}
            progress.advance(file.size)
        seen.store()
        check_space(home.place, sum(new.values()))


def _rehearse(record: Record, build: Callable[[changes.Draft], Result[VersionRow]]) -> None:
    """Make the commit for nothing, before any byte is stored: a name that is taken is told at once.

    Raises:
        Whatever ``build`` raises; Damaged when the record could not be read again.
    """
    row = build(changes.Draft(record)).value
    metric_values(parse_record(row.record, row.id).metrics)


def _save(
    home: AnyHome,
    order: Order,
    build: Callable[[changes.Draft], Result[VersionRow]],
    progress: Progress,
) -> Saved:
    looking = None if order.working is None else provenance.looking(order.working)
    seen, kind = home.seen(), order.operation.kind
    with Saving(home.history, home.store, kind, progress, seen=seen, turn=order.turn) as saving:
        record = replace(order.start, operation=order.operation, author="", revises=None)
        if order.files is not None:
            record = replace(record, files=saving.add_files(order.files, order.parent))
        for attachment in order.attachments:
            saving.attach(attachment)
        record = fill(record, order.prepared, saving)
        if looking is not None:
            code, environment = code_and_environment(looking.result(), saving)
            record = replace(record, code=code, environment=environment)
        contents = saving.finish()

        def built() -> Result[VersionRow]:
            return build(changes.Draft(record, contents, saving.checks(), saving.releases()))

        row = attempt(home.history, built)
    seen.store()
    freed, notes = settled(home.history, home.store, saving.superseded, saving.packs)
    alike = saved_alike.said(home, order.files and order.parent, row, perhaps=saving.perhaps_alike)
    return Saved(row, (*saving.notes, *alike, *notes), saving.new_bytes - freed)
