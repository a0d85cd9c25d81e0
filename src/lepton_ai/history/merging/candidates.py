"""Conflicts decided by trying: each candidate's model is written out, and a program says what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import UsageError
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.checkout import check_space
from lepton_ai.history.merging.asked import TAKE, Choice, rule_of
from lepton_ai.history.merging.evaluation import Judge, Score, best, score
from lepton_ai.history.merging.outcome import Account
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.run import Merging
from lepton_ai.history.states import Conflict
from lepton_ai.progress import SILENT, Progress

USUAL = ("ours", "theirs", "linear")
"""Tried when nothing is named."""
CHUNK = 4 << 20


class Trial(msgspec.Struct, frozen=True):
    """Which candidates are tried (sides, or methods with parameters such as "slerp:t=0.3"), and who judges them."""

    judge: Judge
    candidates: tuple[str, ...] = USUAL


class Tried(msgspec.Struct, frozen=True):
    """What came of a trial: the plan that won, what each candidate was worth, and the winner."""

    plan: Plan
    account: Account
    winner: Score


class Candidates:
    """Trials over one opened repository."""

    def __init__(self, home: AnyHome, merging: Merging, progress: Progress = SILENT) -> None:
        self._home, self._merging, self._progress = home, merging, progress

    def tried(self, made: Plan, trial: Trial, conflicts: Sequence[Conflict] | None = None) -> Tried:
        """Try every candidate for ``conflicts`` (None: all that are open); the others have to be decided.

        Raises:
            UsageError: none could be evaluated, or a candidate is no side or method.
        """
        wanted = made.conflicts if conflicts is None else conflicts
        plans = dict(self.plans(made, trial, wanted))
        scores = [self._score(name, found, trial.judge) for name, found in plans.items()]
        winner = best(trial.judge, scores)
        return Tried(plans[winner.candidate], Account(scores=tuple(scores), judge=trial.judge), winner)

    def plans(self, made: Plan, trial: Trial, conflicts: Sequence[Conflict]) -> Iterator[tuple[str, Plan]]:
        """The plan of each candidate for ``conflicts``, by its name.

        Raises:
            UsageError: one is no side or method.
        """
        for name, choices in [(one, choices_for(one, conflicts)) for one in trial.candidates]:
            yield (
                name,
                self._merging.again(made, replace(made.asked, choices=(*made.asked.choices, *choices))),
            )

    def _score(self, name: str, made: Plan, judge: Judge) -> Score:
        if made.hindrance:
            return Score(name, failure=made.hindrance)
        with self._written(made) as folder:
            self._progress.start(f"evaluating {name}", 0)
            return score(judge, name, folder)

    @contextmanager
    def _written(self, made: Plan) -> Iterator[Path]:
        """A folder with the files that a plan gives."""
        with self._merging.computed(made) as files, self._home.staged() as folder:
            check_space(self._home.place, sum(file.size for file in files))
            for file in files:
                place = folder / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                if file.target is not None:
                    place.symlink_to(file.target)
                    continue
                with place.open("xb") as sink:
                    self._merging.write(file, sink)
                place.chmod(0o755 if file.executable else 0o644)
            yield folder


def choices_for(candidate: str, conflicts: Sequence[Conflict]) -> tuple[Choice, ...]:
    """What a candidate decides: tensors by its method, files, which no method merges, by its side, or as ours has them.

    Raises:
        UsageError: it is no side or method.
    """
    rule = rule_of(f"*={candidate}")
    takes = rule.method in TAKE.values()
    return tuple(
        Choice("tensor", one.name, rule.method, rule.parameters)
        if one.kind == "tensor"
        else Choice(one.kind, one.name, rule.method if takes else TAKE["ours"])
        for one in conflicts
    )


def trial(judge: Judge, candidates: Sequence[str] | None) -> Trial:
    """The trial that was asked for.

    Raises:
        UsageError: a candidate is no side or method, or named twice.
    """
    named = tuple(candidates or USUAL)
    for one in named:
        choices_for(one, ())
    if len(set(named)) < len(named):
        raise UsageError("a candidate is named twice", hint="name each once")
    return Trial(judge, named)
