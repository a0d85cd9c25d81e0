"""Merging, as a repository offers it: a branch into another, several versions into a branch, and the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import Diverged, LostRace, UsageError
from lepton_ai.history import given
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes import saving as changes
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.changes.merging import none_under_way
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.merging import code, jobs, recipes, report
from lepton_ai.history.merging.asked import STOP, Asked, Request, request
from lepton_ai.history.merging.candidates import Candidates, Trial, trial
from lepton_ai.history.merging.evaluation import judge
from lepton_ai.history.merging.foretelling import Foretelling
from lepton_ai.history.merging.jobs import Job
from lepton_ai.history.merging.picking import Picking, whole
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.report import Preview
from lepton_ai.history.merging.run import Merging
from lepton_ai.history.merging.waiting import Waiting, still_open
from lepton_ai.history.record import text
from lepton_ai.history.save import Saved
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import Code

T = TypeVar("T")
TRIES = 5


class Open(msgspec.Struct, frozen=True):
    """What becomes of conflicts that nothing was said about: tried out, left for people to decide, or else refused."""

    leave: bool = False
    with_code: bool = False
    trial: Trial | None = None


class Verbs:
    """The verbs over one opened repository; ``find`` resolves the address of a version."""

    def __init__(
        self, home: AnyHome, lines: Lines, find: Callable[[str], Found], progress: Progress = SILENT
    ) -> None:
        self._home, self._lines, self._find = home, lines, find
        self._merging = Merging(home, lines, progress)
        self._candidates = Candidates(home, self._merging, progress)
        self.waiting = Waiting(home, lines, self._merging, self._candidates)
        self.picking = Picking(lines, self._merging)
        self._foretelling = Foretelling(lines, self._merging, self._candidates, _code_to_merge)

    def request(self, asked: Mapping[str, Any]) -> Request:
        """What is asked, checked.

        Raises:
            UsageError: a method, rule or parameter is unknown. NotFound: there is no such base.
        """
        found = request(asked)
        aids = {
            kind: tuple(self._find(address).row.id.hex() for address in some)
            for kind, some in found.aids.items()
        }
        base = self._find(found.base).row.id.hex() if found.base else ""
        return replace(found, base=base, aids=aids)

    def configured(self, config: Path, sources: Sequence[str]) -> tuple[list[str], Asked]:
        """A configuration in mergekit's dialect: the versions to merge, and what to ask for.

        The names of its models are addresses of versions; or ``sources`` are, in the order in which it names models.

        Raises:
            UsageError, NotFound: it cannot be read, asks what cannot be had, or names what is not there.
        """
        recipe, sources = recipes.read(config), given.several(sources, "versions")
        if sources and len(sources) != len(recipe.models):
            models = ", ".join(recipe.models)
            raise UsageError(
                f"{config} has {len(recipe.models)} models ({models}); {len(sources)} versions are named"
            )
        addresses = [text(source, "a version") for source in sources or recipe.models]
        found = [self._find(address) for address in addresses]
        asked = recipes.asked_of(recipe, self._merging.names(found[0]))
        if sources:  # then its names are no addresses, and the history knows the base
            asked["base"] = None
        return addresses, asked

    def open_of(self, asked: Mapping[str, Any]) -> Open:
        """What was asked about conflicts that nothing was said about.

        Raises:
            UsageError: a candidate is no method; something is said of an evaluation that is not asked for.
        """
        with_code = given.switch(asked.get("with_code") or False, "with_code")
        leave = asked.get("on_conflict") == STOP
        if with_code and leave:
            raise UsageError(
                "a merge that waits for people merges no code",
                hint="merge the code with git, and leave --with-code out; or leave --on-conflict out",
            )
        if asked.get("evaluate") is None:
            for name in ("candidates", "metric", "best"):
                if asked.get(name):
                    raise UsageError(
                        f"{name} is said, and no command to evaluate with", hint="say evaluate too"
                    )
            return Open(leave=leave, with_code=with_code)
        metric, candidates = text(asked.get("metric") or "", "the metric"), asked.get("candidates")
        by = judge(text(asked["evaluate"], "evaluate"), metric, asked.get("best"))
        if candidates is not None:
            candidates = [text(one, "a candidate") for one in given.several(candidates, "candidates")]
        return Open(trial=trial(by, candidates), with_code=with_code)

    def branch(
        self,
        source: str,
        into: str,
        act: Act,
        asked: Request,
        *,
        message: str = "",
        fast_forward: bool = True,
        open_: Open = Open(),  # noqa: B008  (frozen)
    ) -> Saved | None:
        """Bring a branch into another: by moving it where that is enough, else by merging weights; None: nothing new.

        Raises:
            Diverged: something conflicts that nothing was said about, or cannot be merged.
        """

        def once() -> Saved | None:
            try:
                row = attempt(
                    self._home.history,
                    lambda: changes.merge(
                        self._lines, source, into, act, message=message, fast_forward=fast_forward
                    ),
                )
            except Diverged:
                return self._run(jobs.of_branch(self._lines, source, into, asked, message), act, open_)
            return Saved(row) if row else None

        return _again(once)

    def versions(
        self,
        ids: Sequence[bytes],
        into: str,
        act: Act,
        asked: Request,
        message: str,
        open_: Open = Open(),  # noqa: B008  (frozen)
    ) -> Saved | None:
        """Merge versions, and what the branch ``into`` stands on, into its next one; None: nothing new.

        When one has everything that the others have, the next version has its content.

        Raises:
            Diverged, UsageError: as above.
        """
        job = jobs.of_versions(self._lines, ids, into, asked, message)

        def once() -> Saved | None:
            none_under_way(self._lines, into)
            models = self._merging.models(job, head := self._merging.head(job))
            if len(models) > 1:
                return self._run(job, act, open_)
            if models == [head]:
                return None
            newest = self._lines.version(models[0])
            return Saved(
                attempt(
                    self._home.history,
                    lambda: changes.take(self._lines, newest, job.what, into, head, act, message=message),
                )
            )

        return _again(once)

    def _run(self, job: Job, act: Act, open_: Open) -> Saved:
        none_under_way(self._lines, job.into)
        head = self._merging.head(job)
        made = self._merging.plan(job, head)
        making = self._merging.making(job, made, head)
        if made.conflicts and not made.obstacles:
            if open_.trial is not None:
                tried = self._candidates.tried(made, open_.trial)
                made, winner = tried.plan, tried.winner
                measured = {} if winner.value is None else {winner.metric: winner.value}
                making = replace(making, account=tried.account, metrics=measured)
            elif open_.leave and not job.asked.exact:  # what waits is a merge into what the branch stands on
                raise still_open(self.waiting.leave(job, made, head, act))
        report.refuse(made, job.into)
        apart = _code_to_merge(made) if open_.with_code else None
        if apart is None:
            return self._merging.make(made, making, act)
        mine, its = apart
        with code.joined(Path(), mine, its, making.message) as commit:
            saved = self._merging.make(
                made, replace(making, code=Code(commit, mine.remote, mine.branch)), act
            )
        left = code.follow(Path(), commit)  # the version is durable: what names the code goes first
        return replace(saved, notes=(*saved.notes, left)) if left else saved

    def evaluate(
        self,
        into: str,
        target: str,
        act: Act,
        asked: Mapping[str, Any],
        *,
        again: bool = False,
        force: bool = False,
    ) -> tuple[str, ...]:
        """Decide conflicts of a merge in progress by trying candidates; see :meth:`open_of` for what may be asked."""
        trial = self.open_of(asked).trial
        if trial is None:
            raise UsageError("no command is named to evaluate with")
        return self.waiting.evaluate(into, target, act, trial, again=again, force=force)

    def whole(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked of a cherry-pick or revert, completed."""
        return whole(asked)

    def preview_branch(
        self,
        source: str,
        into: str,
        asked: Request,
        *,
        fast_forward: bool = True,
        open_: Open = Open(),  # noqa: B008  (frozen)
    ) -> Preview:
        """What :meth:`branch` would do."""
        branches = self._lines.branch(source), self._lines.branch(into)
        way = changes.way(self._lines, *branches, fast_forward=fast_forward)
        head = branches[0].head
        job = Job(into, () if head is None else (head,), asked, source)
        if way != "apart":
            return self._foretelling.way(job, way)
        return self._foretelling.merge(job, open_.trial, with_code=open_.with_code)

    def preview_versions(
        self,
        ids: Sequence[bytes],
        into: str,
        asked: Request,
        open_: Open = Open(),  # noqa: B008  (frozen)
    ) -> Preview:
        """What :meth:`versions` would do."""
        job = jobs.of_versions(self._lines, ids, into, asked)
        models = self._merging.models(job, head := self._merging.head(job))
        if len(models) == 1:
            only = Job(into, tuple(models if models != [head] else ids), asked, job.what)
            return self._foretelling.way(only, "nothing" if models == [head] else "take")
        return self._foretelling.merge(job, open_.trial, with_code=open_.with_code)

    def replay(self, found: Found) -> str:
        """Do a merge again without saving it; the content id that comes of it."""
        return self._merging.replay(found)


def _code_to_merge(made: Plan) -> tuple[Code, Code] | None:
    """The codes of both sides where git has to merge them, and can; None: one of them will do.

    Raises:
        UsageError, Diverged: it cannot.
    """
    mine, its = made.models[0].record.code, made.models[-1].record.code
    if mine is None or its is None:
        raise UsageError("a side does not say which code it was saved from", hint="merge without the code")
    if code.merge(None, mine, its, code.ancestry_in(Path())).clean:
        return None
    code.check_checkout(Path(), mine, its)
    return mine, its


def _again(work: Callable[[], T]) -> T:
    """Merge anew, with what is there now, when somebody else saved on the branch meanwhile."""
    for _ in range(TRIES - 1):
        with suppress(LostRace):
            return work()
    return work()
