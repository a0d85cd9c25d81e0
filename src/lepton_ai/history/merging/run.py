"""Merge versions that went different ways: plan, compute, put together, save."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history import graph
from lepton_ai.history.carried import Prepared
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.checkout import check_space
from lepton_ai.history.files import Found as FoundFile
from lepton_ai.history.home import Home
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.merging import assemble, outcome, report
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.carrying import carried
from lepton_ai.history.merging.compute import Scratch
from lepton_ai.history.merging.plan import Plan, plan
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import content_id
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.save import Order, Saved, save
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import Attachment, FileEntry, Operation

HASHED = 4 << 20
SCHEMA = 2
"""Of records with an outcome."""


class Job(msgspec.Struct, frozen=True):
    """``sources`` (ids) come into the branch ``into``; ``what`` says so for people, ``message`` why."""

    into: str
    sources: tuple[bytes, ...]
    asked: Request
    what: str
    message: str = ""


class Merging:
    """Merges over one opened repository."""

    def __init__(self, home: Home, lines: Lines, progress: Progress = SILENT) -> None:
        self._home, self._lines, self._progress = home, lines, progress
        self._reader = Reader(home.history, home.store)

    def preview(self, job: Job) -> report.Preview:
        """What a merge would do; nothing is written."""
        return report.preview(self._plan(job, self._head(job)), job.into)

    def run(self, job: Job, act: Act) -> Saved:
        """Make the merged version.

        Raises:
            Diverged: there are conflicts that nothing was said about, or something that cannot be merged.
            LostRace: somebody else saved on the branch meanwhile.
        """
        head = self._head(job)
        made = self._plan(job, head)
        report.refuse(made, job.into)
        return self._save(job, made, head, act)

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
        models, bases = ([self._side(bytes.fromhex(id_)) for id_ in ids] for ids in (done.models, done.bases))
        made = plan(models, bases, done.request)
        report.refuse(made, version.record.branch)
        with self._computed(made) as files:
            return content_id([self._entry(file) for file in files])

    def _head(self, job: Job) -> bytes:
        head = self._lines.branch(job.into).head
        if head is None:
            raise UsageError(
                f"branch {job.into!r} has no version to merge with",
                hint="merge one branch first: it moves there",
            )
        return head

    def _plan(self, job: Job, head: bytes) -> Plan:
        models = [self._side(id_) for id_ in self._apart([head, *job.sources])]
        if len(models) < 2:
            raise UsageError(
                f"{models[0].label} has everything that the others have", hint="merge its branch alone"
            )
        return plan(models, self._bases(models, job.asked), job.asked)

    def _apart(self, heads: Sequence[bytes]) -> list[bytes]:
        """The heads, each once, without those that others come from."""
        single = list(dict.fromkeys(heads))
        history = self._lines.history
        kept: list[bytes] = []
        for number, head in enumerate(single):
            rest = [*kept, *single[number + 1 :]]
            if not any(graph.has_version(history, other, head) for other in rest):
                kept.append(head)
        return kept

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
    def _computed(self, made: Plan) -> Iterator[list[FoundFile]]:
        """The merged files, which can be read in this block."""
        check_space(self._home.place, assemble.computed_bytes(made) + made.to_pass)
        with self._home.staged() as folder:
            scratch = Scratch(folder)
            try:
                yield assemble.files(made, scratch, self._progress)
            finally:
                scratch.close()

    def _save(self, job: Job, made: Plan, head: bytes, act: Act) -> Saved:
        start, notes = carried(made.models, made.bases, made.same_as)
        others = [side.found.row.id for side in made.models if side.found.row.id != head]

        def build(draft: changes.Draft) -> Result[VersionRow]:
            living = tuple(self._lines.resolve(id_.hex()) for id_ in others)
            return changes.new_version(self._lines, job.into, draft, act, expected=head, others=living)

        with self._computed(made) as files:
            data = outcome.encode(outcome.outcome(made))
            kept = Attachment(hashlib.sha256(data).hexdigest(), len(data))
            order = Order(
                Operation("merge", others[0].hex(), job.what, kept),
                files,
                msgspec.structs.replace(start, schema=SCHEMA),
                self._lines.version(head).record,
                Prepared({"message": job.message or f"Merge {job.what}"}),
                attachments=(data,),
                turn=[branch.head for branch in self._lines.branches()].count(head) == 1,
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
