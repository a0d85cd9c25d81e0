"""Merge versions that went different ways: plan, compute, put together, save."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history import graph
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.carried import Prepared
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.checkout import check_space
from lepton_ai.history.files import Found as FoundFile
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.merging import assemble, outcome, report
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.carrying import carried
from lepton_ai.history.merging.compute import Scratch
from lepton_ai.history.merging.jobs import Job
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.planning import plan as planned
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import content_id
from lepton_ai.history.refs.contract import Commit, VersionRow
from lepton_ai.history.save import Order, Saved, save
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import Attachment, Code, FileEntry, Operation

HASHED = 4 << 20
SCHEMA = 2
"""Of records with an outcome."""


class Making(msgspec.Struct, frozen=True):
    """How a plan becomes the next version of ``into``, which stands on ``head``.

    ``kind``, ``source`` and ``what`` are told of its operation. ``parents`` are further ones besides ``head``.
    ``ending`` adds to the commit what ends with it. ``metrics`` were measured on just these weights.
    ``code`` is what git has merged the code into.
    """

    into: str
    head: bytes
    what: str
    message: str
    source: str
    parents: tuple[bytes, ...] = ()
    kind: str = "merge"
    account: outcome.Account = outcome.Account()
    ending: Callable[[Commit], Commit] | None = None
    metrics: dict[str, float] = {}
    code: Code | None = None


class Merging:
    """Merges over one opened repository."""

    def __init__(self, home: AnyHome, lines: Lines, progress: Progress = SILENT) -> None:
        self._home, self._lines, self._progress = home, lines, progress
        self._reader = Reader(home.history, home.store)

    def room(self, made: Plan) -> None:
        """Raise NoSpace when there is no room for what a plan makes."""
        check_space(self._home.place, assemble.computed_bytes(made) + made.to_pass)

    def planned(self, models: Sequence[bytes], bases: Sequence[bytes], asked: Request) -> Plan:
        """What becomes of these versions (ids, ours first), which came from ``bases``."""
        merged, before = ([self._side(id_) for id_ in ids] for ids in (models, bases))
        return planned(merged, before, asked, self._aids(asked))

    def again(self, made: Plan, asked: Request) -> Plan:
        """The same versions, asked otherwise."""
        return planned(made.models, made.bases, asked, made.aids)

    def write(self, file: FoundFile, sink: BinaryIO) -> None:
        """Write a file of a plan."""
        if file.source is None:
            self._reader.copy(FileEntry(file.path, file.stored, file.size), sink)
            return
        starts = range(0, file.source.size, HASHED)
        sink.writelines(file.source.read(at, min(HASHED, file.source.size - at)) for at in starts)

    def names(self, version: Found) -> list[str]:
        """The names of a version's tensors, as its merges know them."""
        return list(self._side(version.row.id).tensors)

    def replay(self, version: Found) -> str:
        """Do a merge again, without saving; the content id that comes of it.

        Raises:
            NotFound: the version is no merge that can be done again.
        """
        kept = version.record.operation.outcome
        if kept is None:
            raise NotFound(
                f"{version.record.name!r} is no merge of weights", hint="lepton log --graph shows which are"
            )
        done = outcome.Outcome.of(self._reader.attachment(kept))
        models, bases = ([bytes.fromhex(id_) for id_ in ids] for ids in (done.models, done.bases))
        made = self.planned(models, bases, done.request)
        report.refuse(made, version.record.branch)
        with self.computed(made) as files:
            return content_id([self._entry(file) for file in files])

    def making(self, job: Job, made: Plan, head: bytes) -> Making:
        """How a job's plan becomes a version."""
        others = tuple(side.found.row.id for side in made.models if side.found.row.id != head)
        message = job.message or f"Merge {job.said}"
        return Making(job.into, head, job.said, message, others[0].hex(), others)

    def head(self, job: Job) -> bytes:
        """What the branch stands on. Raises UsageError when there is nothing."""
        head = self._lines.branch(job.into).head
        if head is None:
            raise UsageError(
                f"branch {job.into!r} has no version to merge with",
                hint="merge one branch first: it moves there",
            )
        return head

    def plan(self, job: Job, head: bytes) -> Plan:
        """What a job does upon ``head``. Raises UsageError when a method cannot do what is asked."""
        models = [self._side(id_) for id_ in self.models(job, head)]
        made = planned(models, self._bases(models, job.asked), job.asked, self._aids(job.asked))
        made.notes += self._contained(job, head, models)
        return made

    def _aids(self, asked: Request) -> dict[str, list[Side]]:
        return {kind: [self._side(bytes.fromhex(id_)) for id_ in ids] for kind, ids in asked.aids.items()}

    def models(self, job: Job, head: bytes) -> list[bytes]:
        """The versions that are merged, ours first; one alone has everything that the others have.

        Raises:
            UsageError: just those that are named shall be merged, and they have nothing to do with the branch.
        """
        if not job.asked.exact:
            return graph.apart(self._lines.history, [head, *job.sources])
        if not any(graph.has_version(self._lines.history, source, head) for source in job.sources):
            raise UsageError(
                f"what {job.into!r} stands on is none of the models, nor is any of them made from it",
                hint="name it among the models, or another branch with --into",
            )
        named = list(dict.fromkeys(job.sources))
        if len(named) < 2:
            raise UsageError(f"{job.what} are one and the same version", hint="name different ones")
        return named

    def _contained(self, job: Job, head: bytes, models: list[Side]) -> Iterator[str]:
        """Lines about versions that are no models of their own, since others come from them."""
        there = {side.found.row.id for side in models}
        for id_ in dict.fromkeys(() if job.asked.exact else (head, *job.sources)):
            if id_ in there:
                continue
            newer = next(
                side for side in models if graph.has_version(self._lines.history, side.found.row.id, id_)
            )
            label = self._side(id_).label
            if id_ == head:
                yield f"{newer.label} counts as ours: {label}, on which {job.into} stands, is contained in it"
            else:
                yield f"{label} is contained in {newer.label}: it counts as no model of its own"

    def _bases(self, models: list[Side], asked: Request) -> list[Side]:
        if asked.base:
            return [self._side(bytes.fromhex(asked.base))]
        rows = graph.best_common(self._lines.history, [side.found.row.id for side in models])
        return [self._side(row.id) for row in rows]

    def _side(self, id_: bytes) -> Side:
        found = self._lines.version(id_)
        if found.state.purged_at is not None:
            raise NotFound(
                f"gc has freed the bytes of {found.record.branch}@{found.row.name}, which this merge needs",
                hint="name another common ancestor with --base",
            )
        return Side(found, self._reader)

    @contextmanager
    def computed(self, made: Plan) -> Iterator[list[FoundFile]]:
        """The merged files, which can be read in this block."""
        self.room(made)
        with self._home.staged() as folder:
            scratch = Scratch(folder)
            try:
                yield assemble.files(made, scratch, self._progress)
            finally:
                scratch.close()

    def make(self, made: Plan, how: Making, act: Act) -> Saved:
        """Compute what was planned, and save it.

        Raises:
            LostRace: the branch has moved on.
        """
        merged_code = how.code is not None
        start, notes = carried(made.models, made.bases, made.same_as, with_code=merged_code)
        if merged_code:
            start = msgspec.structs.replace(start, code=how.code)

        def build(draft: changes.Draft) -> Result[VersionRow]:
            living = tuple(self._lines.resolve(id_.hex()) for id_ in how.parents)
            result = changes.new_version(self._lines, how.into, draft, act, expected=how.head, others=living)
            if how.ending is None or result.commit is None:
                return result
            return Result(how.ending(result.commit), result.value)

        with self.computed(made) as files:
            data = outcome.encode(outcome.outcome(made, how.account))
            kept = Attachment(hashlib.sha256(data).hexdigest(), len(data))
            given = tuple(one.given for one in made.asked.choices if one.given is not None)
            order = Order(
                Operation(how.kind, how.source, how.what, kept, given),
                files,
                msgspec.structs.replace(start, schema=SCHEMA),
                self._lines.version(how.head).record,
                Prepared({"message": how.message} | ({"metrics": how.metrics} if how.metrics else {})),
                attachments=(data,),
                turn=[branch.head for branch in self._lines.branches()].count(how.head) == 1,
            )
            saved = save(self._home, order, build, progress=self._progress)
        told = (*report.notes(made), *notes, *saved.notes)
        return msgspec.structs.replace(saved, notes=told)

    def _entry(self, file: FoundFile) -> FileEntry:
        """What a save would make of a file, without saving it."""
        if file.source is None or file.stored:
            return FileEntry(file.path, file.stored, file.size, file.executable, file.target)
        digest = hashlib.sha256()
        for start in range(0, file.source.size, HASHED):
            digest.update(file.source.read(start, min(HASHED, file.source.size - start)))
        return FileEntry(file.path, digest.hexdigest(), file.source.size, file.executable)
