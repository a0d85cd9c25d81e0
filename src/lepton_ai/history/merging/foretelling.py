"""What a merge would do, and whether it can: what would keep it from being made is found out, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from lepton_ai.errors import Diverged, InUse, LeptonError, NoSpace, UsageError
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.merging import none_under_way
from lepton_ai.history.lines import Lines
from lepton_ai.history.merging import report
from lepton_ai.history.merging.candidates import Candidates, Trial
from lepton_ai.history.merging.carrying import carried
from lepton_ai.history.merging.jobs import Job
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.report import Preview
from lepton_ai.history.merging.run import Merging


class Foretelling:
    """Previews over one opened repository. ``code`` finds out whether git can merge the code of a plan's versions."""

    def __init__(
        self, lines: Lines, merging: Merging, candidates: Candidates, code: Callable[[Plan], object]
    ) -> None:
        self._lines, self._merging, self._candidates, self._code = lines, merging, candidates, code

    def way(self, job: Job, way: changes.Way) -> Preview:
        """What there is to tell of a merge that computes nothing."""
        labels = tuple(self._label(id_) for id_ in job.sources)
        return _with(Preview(way, job.into, labels), self._hindrances([lambda: self._free(job)]))

    def merge(self, job: Job, trial: Trial | None, *, with_code: bool) -> Preview:
        """What a merge of weights would do."""
        made = self._merging.plan(job, self._merging.head(job))
        found = report.preview(made, job.into)
        _, carries = carried(made.models, made.bases, made.same_as, with_code=with_code)
        found = replace(found, notes=(*found.notes, *carries))
        if trial is not None and made.conflicts and not made.obstacles:
            found = self._tried(found, made, trial)
        checks: list[Callable[[], object]] = [lambda: self._free(job), lambda: self._merging.room(made)]
        checks += [lambda: self._code(made)] if with_code else []
        return _with(found, self._hindrances(checks))

    def _tried(self, found: Preview, made: Plan, trial: Trial) -> Preview:
        """The preview of a merge whose conflicts are decided by trying: one candidate at least has to be possible."""
        failures = {
            name: plan.hindrance for name, plan in self._candidates.plans(made, trial, made.conflicts)
        }
        able = [name for name, failure in failures.items() if not failure]
        notes = [f"{name} cannot be tried: {failure}" for name, failure in failures.items() if failure]
        if able:
            notes.append(f"what is in conflict would be decided by trying {', '.join(able)}")
        return replace(found, possible=bool(able), notes=(*found.notes, *notes))

    def _free(self, job: Job) -> None:
        none_under_way(self._lines, job.into)

    def _hindrances(self, checks: list[Callable[[], object]]) -> Iterator[str]:
        for check in checks:
            try:
                check()
            except (Diverged, InUse, NoSpace, UsageError) as problem:
                yield _said(problem)

    def _label(self, id_: bytes) -> str:
        found = self._lines.version(id_)
        return f"{found.record.branch}@{found.row.name}"


def _with(found: Preview, hindrances: Iterator[str]) -> Preview:
    more = tuple(hindrances)
    return replace(found, possible=False, obstacles=(*found.obstacles, *more)) if more else found


def _said(problem: LeptonError) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message
