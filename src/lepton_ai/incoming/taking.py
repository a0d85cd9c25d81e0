"""The engine: every version of a source becomes one of ours, in an atomic step of its own.

Killed at any instant, what was made is whole and says where it comes from; the next run passes over it and goes on. So
does a run years later, which brings only what is new, and the files of earlier versions that can be had by now.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from lepton_ai.history import names
from lepton_ai.history.carried import Prepared
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, Result, now
from lepton_ai.history.files import Found as FoundFile
from lepton_ai.history.lines import Branch, Found
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.save import Order, Saved, save
from lepton_ai.incoming.carrying import carried
from lepton_ai.incoming.contract import Arrival, Left, Source
from lepton_ai.incoming.gathering import Gathering
from lepton_ai.incoming.known import Known, known_of
from lepton_ai.incoming.labelling import Labelling
from lepton_ai.incoming.naming import version_name
from lepton_ai.incoming.placing import Placing
from lepton_ai.incoming.report import Report, Taken
from lepton_ai.repository import ModelRepository
from lepton_ai.types import Operation, Origin


def bring(
    repository: ModelRepository, source: Source, branch: str | None = None, *, dry_run: bool = False
) -> Report:
    """Take every version of ``source`` that is not here yet; its main branch goes onto ``branch`` (default: current).

    Raises:
        UsageError: the source cannot be read as what it is said to be.
        NoSpace, StorageFailed, Busy, KeyMissing: what was made until then stays, and the next run goes on.
    """
    try:
        return _Taking(repository, source, branch, dry_run=dry_run).run()
    finally:
        source.close()


class _Taking:
    def __init__(
        self, repository: ModelRepository, source: Source, branch: str | None, *, dry_run: bool
    ) -> None:
        self._repository, self._source = repository, source
        self._home, self._lines = repository.home, repository.lines
        self._report = Report(source.kind, source.place, source.scope, dry_run)
        self._known = known_of(self._lines, source)
        self._made: dict[str, bytes | None] = {ref: known.first for ref, known in self._known.items()}
        self._gathering = Gathering(source)
        target = names.check_ref_name(branch or self._home.current, "branch")
        self._placing = Placing(
            self._lines,
            source.main,
            target,
            self._act(),
            self._report,
            fresh=not self._known,
            asked=branch is not None,
        )

    def run(self) -> Report:
        passing: dict[str, None] = {}
        for arrival in self._source.arrivals():
            passing[arrival.branch] = None
            self._take(arrival)
        self._report.left += self._source.left()
        if self._report.dry_run:
            return self._report
        branches = self._source.branches()
        for branch, reference in branches.items():
            tip = self._find(reference)
            if tip is not None:
                self._placing.settle(branch, tip, reference)
        self._placing.clear(passing.keys() - branches.keys())
        imported = {first for first in self._made.values() if first is not None}
        Labelling(self._lines, self._find, imported, self._report).put(self._source.labels(), self._act())
        return self._report

    def _take(self, arrival: Arrival) -> None:
        known = self._known.get(arrival.reference)
        if known is not None:
            self._report.known += 1
            if known.missing:
                self._complete(arrival, known)
            return
        if self._report.dry_run:
            self._rehearse(arrival)
            return
        with self._home.staged() as folder:
            self._new(arrival, folder)

    def _rehearse(self, arrival: Arrival) -> None:
        files, missing, left = self._gathering.gather(arrival.files, arrival.told, None)
        self._report.left += [*arrival.left, *carried(arrival)[1], *left]
        if self._enough(arrival, files):
            self._report.taken.append(_told(arrival, self._placing.ours(arrival.branch), files, len(missing)))

    def _new(self, arrival: Arrival, folder: Path) -> None:
        files, missing, left = self._gathering.gather(arrival.files, arrival.told, folder)
        prepared, lost = carried(arrival)
        self._report.left += [*arrival.left, *lost, *left]
        parents = [found for found in map(self._find, arrival.parents) if found is not None]
        if not self._enough(arrival, files):
            self._made[arrival.reference] = parents[0].row.first if parents else None
            return
        branch = self._placing.place(
            arrival.branch, parents[0] if parents else None, arrival.reference, follows=arrival.follows
        )
        saved = self._save(arrival, branch, files, prepared, tuple(missing), parents[1:])
        self._made[arrival.reference] = saved.row.first
        told = _told(arrival, branch.name, files, len(missing))
        self._tell(replace(told, name=saved.row.name, id=saved.row.id.hex()), saved)

    def _enough(self, arrival: Arrival, files: list[FoundFile]) -> bool:
        if files:
            return True
        self._report.left.append(Left("the version", "none of its files can be had", arrival.told))
        return False

    def _save(
        self,
        arrival: Arrival,
        branch: Branch,
        files: list[FoundFile],
        prepared: Prepared,
        missing: tuple[str, ...],
        merged: list[Found],
    ) -> Saved:
        head = self._lines.version(branch.head) if branch.head else None
        others = tuple(found for found in merged if head is None or found.row.first != head.row.first)
        name = self._name(arrival, branch)
        act = self._act()

        def build(draft: changes.Draft) -> Result[VersionRow]:
            draft = replace(draft, made_at=max(arrival.created_at, 0))
            return changes.new_version(
                self._lines, branch.name, draft, act, name=name, expected=branch.head,
                line=branch.state.uid, others=others,
            )  # fmt: skip

        alone = [other.head for other in self._lines.branches()].count(branch.head) == 1
        order = Order(
            self._operation(arrival, missing, act),
            files,
            parent=head.record if head else None,
            prepared=prepared,
            turn=head is not None and alone,
        )
        return save(self._home, order, build, progress=self._repository.progress)

    def _complete(self, arrival: Arrival, known: Known) -> None:
        """A new revision of a version that came incomplete, when more of its files can be had by now."""
        found = self._lines.version(known.first)
        newest = self._lines.version(found.newest)
        if not found.living or newest.record.operation.origin is None:
            return  # people deleted it, or made it theirs
        with self._home.staged() as folder:
            dry = self._report.dry_run
            files, missing, left = self._gathering.gather(
                arrival.files, arrival.told, None if dry else folder
            )
            self._report.left += left
            if not set(missing) < set(known.missing):
                return
            told = replace(
                _told(arrival, newest.record.branch, files, len(missing)),
                name=newest.row.name,
                completed=True,
            )
            if dry:
                self._report.taken.append(told)
                return
            act = self._act()
            old = newest.record
            operation = self._operation(arrival, tuple(missing), act)
            order = Order(operation, files, old, old, Prepared({"author": old.author}))
            saved = save(
                self._home, order,
                lambda draft: changes.new_revision(
                    self._lines, known.first, draft, act, expected=newest.row.id
                ),
                progress=self._repository.progress,
            )  # fmt: skip
            self._tell(replace(told, id=saved.row.id.hex()), saved)

    def _operation(self, arrival: Arrival, missing: tuple[str, ...], act: Act) -> Operation:
        origin = Origin(
            self._source.kind,
            self._source.place,
            arrival.reference,
            act.actor,
            timestamp(act.at),
            self._source.scope,
            missing,
        )
        return Operation("import", detail=arrival.told, origin=origin)

    def _name(self, arrival: Arrival, branch: Branch) -> str | None:
        """What the version is called in the source, where that can be; else None, the next number."""
        if arrival.name is None:
            return None
        name = version_name(arrival.name)
        number = names.automatic_number(name or "")
        taken = name is not None and self._lines.on_branch(branch, name) is not None
        if name is None or taken or (number and number <= branch.state.high):
            self._report.rename(
                "version",
                arrival.name,
                f"{branch.name}@v{branch.state.high + 1}",
                "the branch has counted further",
            )
            return None
        return name

    def _find(self, reference: str) -> Found | None:
        """Our version of what the source calls so; of a deleted one the nearest living one before it."""
        first = self._made.get(reference)
        found = None if first is None else self._lines.version(first)
        while found is not None and not found.living:
            found = self._lines.version(found.row.parents[0]) if found.row.parents else None
        return None if found is None else self._lines.version(found.newest)

    def _tell(self, told: Taken, saved: Saved) -> None:
        self._report.taken.append(told)
        self._report.new_bytes += saved.new_bytes

    def _act(self) -> Act:
        return Act(self._repository.author, now(), f"from {self._source.kind} in {self._source.place}")


def _told(arrival: Arrival, branch: str, files: list[FoundFile], missing: int) -> Taken:
    return Taken(
        arrival.reference,
        branch,
        arrival.author,
        timestamp(max(arrival.created_at, 0)),
        arrival.message,
        len(files),
        sum(file.size for file in files),
        missing,
    )
