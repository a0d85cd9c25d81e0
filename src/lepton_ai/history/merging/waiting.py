"""A merge that waits for people: left with its conflicts, decided one by one, made when all are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from lepton_ai.decodable import ready
from lepton_ai.errors import Diverged, LostRace, NotFound, UsageError
from lepton_ai.history import states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes import decisions
from lepton_ai.history.changes import merging as rules
from lepton_ai.history.changes.attempt import Act, Result, attempt
from lepton_ai.history.given import content
from lepton_ai.history.lines import Lines
from lepton_ai.history.merging import report, text
from lepton_ai.history.merging.asked import TAKE, Choice, Request
from lepton_ai.history.merging.bound import same_models
from lepton_ai.history.merging.candidates import Candidates, Trial, choices_for
from lepton_ai.history.merging.given_arrays import array, check
from lepton_ai.history.merging.jobs import Job
from lepton_ai.history.merging.outcome import Account
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.run import Making, Merging
from lepton_ai.history.merging.wishes import wished
from lepton_ai.history.record import text as plain_text
from lepton_ai.history.refs.contract import Commit
from lepton_ai.history.save import Saved
from lepton_ai.history.writing import Saving

SHOWN = 3


class Waiting:
    """The verbs of merges under way, over one opened repository."""

    def __init__(self, home: AnyHome, lines: Lines, merging: Merging, candidates: Candidates) -> None:
        self._home, self._lines, self._merging, self._candidates = home, lines, merging, candidates

    def leave(self, job: Job, made: Plan, head: bytes, act: Act) -> rules.UnderWay:
        """Leave a merge with what it could not decide.

        Raises:
            InUse: another one into this branch is under way.
            LostRace: the branch has moved on.
        """
        theirs = tuple(side.id for side in made.models if side.found.row.id != head)
        state = states.MergeState(
            uid="",
            source=job.what,
            ours=head.hex(),
            theirs=theirs,
            bases=tuple(side.id for side in made.bases),
            request=msgspec.to_builtins(made.asked),
            conflicts=tuple(made.conflicts),
            started_at=0,
            started_by="",
            message=job.message,
        )
        attempt(self._home.history, lambda: rules.begin(self._lines, job.into, state, act))
        return rules.under_way(self._lines, job.into)

    def resolve(
        self,
        into: str,
        target: str,
        act: Act,
        *,
        take: str = "",
        method: str = "",
        file: Path | None = None,
        again: bool = False,
        force: bool = False,
        results: Mapping[str, float | str] | None = None,
    ) -> tuple[str, ...]:
        """Decide conflicts whose name is ``target`` or fits it as a glob: take a side, a method, or a file's content.

        A glob means what is open, with ``again`` also what is decided. ``method`` may have parameters: "slerp:t=0.3".
        Returns the names of what was decided.

        Raises:
            UsageError: not exactly one of the three is said, or it cannot be for one of them.
            NotFound: there is no such merge, conflict or method. Diverged: somebody else decided already.
        """
        how, name, parameters = wished(take, method, file)
        under = rules.under_way(self._lines, into)
        wish = states.Resolution(
            plain_text(target, "the conflict"), how, "", 0, method=name, parameters=parameters,
            file=file.name if file else "", results=dict(results or {}),
        )  # fmt: skip

        def build(stored: rules.Bytes = rules.Bytes()) -> Result[tuple[str, ...]]:  # noqa: B008  (frozen)
            return rules.resolve(self._lines, into, wish, act, stored=stored, again=again, force=force)

        build()  # whatever is wrong is told before anything is read
        if file is None:
            if how == "method":
                self._try(under, wish, again=again)
            return attempt(self._home.history, build)
        data = content(file)
        if not force and text.has_markers(data):
            raise UsageError(
                f"{file} still has conflict markers", hint="decide there, too; or say --force to keep them"
            )
        self._check_given(under, decisions.meant(under.state, target, again=again), data, file)
        with Saving(self._home.history, self._home.store, "resolve") as saving:
            wish = replace(wish, given=saving.attach(data))
            contents = saving.finish()
            return attempt(
                self._home.history,
                lambda: build(rules.Bytes(contents, saving.checks(), saving.releases())),
            )

    def text(self, into: str, name: str) -> bytes:
        """The file in which both sides changed the same lines, with both of them between conflict markers.

        Raises:
            NotFound: it is no conflict of the merge. UsageError: it is no text, or not there on both sides.
        """
        under = rules.under_way(self._lines, into)
        conflict = next((one for one in under.state.conflicts if one.name == name), None)
        if conflict is None:
            raise decisions.no_conflict(name)
        found = self._planned(under, request_of(under)).marked.get(name)
        if found is None:
            raise UsageError(
                f"{name} has no lines to show: {conflict.why}", hint=f"lepton resolve {name} takes a side"
            )
        return found

    def evaluate(
        self, into: str, target: str, act: Act, trial: Trial, *, again: bool = False, force: bool = False
    ) -> tuple[str, ...]:
        """Decide conflicts by trying candidates; what else is open counts as ours meanwhile.

        Raises:
            UsageError: no candidate could be evaluated. NotFound, Diverged: as for :meth:`resolve`.
        """
        under = rules.under_way(self._lines, into)
        made = self._planned(under, decided(under))
        wanted = decisions.meant(under.state, target, again=again)
        names = {one.name for one in wanted}
        rest = [one for one in made.conflicts if one.name not in names]
        kept = tuple(one for one in made.asked.choices if one.name not in names)
        asked = replace(made.asked, choices=(*kept, *choices_for("ours", rest)))
        tried = self._candidates.tried(self._merging.again(made, asked), trial, wanted)
        results = {
            one.candidate: one.failure if one.value is None else one.value for one in tried.account.scores
        }
        name = tried.winner.candidate
        side = name if name in TAKE else ""
        method = "" if side else name
        return self.resolve(
            into, target, act, take=side, method=method, again=again, force=force, results=results
        )

    def finish(self, into: str, act: Act, message: str = "") -> Saved:
        """Make the merged version, and end the merge in the same commit.

        When somebody saved on the branch meanwhile, the merge begins anew upon that, with every decision about what
        that did not touch.

        Raises:
            Diverged: conflicts are left. LostRace: somebody decided something at the same time.
            NotFound: there is none, or somebody else was faster; says which version came of it.
        """
        under = rules.under_way(self._lines, into)
        try:
            return self._finished(under, act, message)
        except (LostRace, NotFound) as problem:
            if said := rules.gone(self._lines, under):
                raise said from problem
            raise

    def _finished(self, under: rules.UnderWay, act: Act, message: str) -> Saved:
        into = under.branch
        under = self._caught_up(under, act)
        if under.open:
            raise still_open(under)
        state = under.state
        made = self._planned(under, decided(under))
        report.refuse(made, into)

        def ending(commit: Commit) -> Commit:
            now = rules.under_way(self._lines, into)
            if now.ref.stamp != under.ref.stamp:
                raise LostRace("somebody decided something while the merge was made", hint="repeat it")
            return rules.ended(self._lines, now, commit)

        what = f"{state.source} into {into}"
        making = Making(
            into,
            bytes.fromhex(state.ours),
            what,
            message or state.message or f"Merge {what}",
            state.theirs[0],
            tuple(map(bytes.fromhex, state.theirs)),
            account=Account(state.resolutions),
            ending=ending,
        )
        return self._merging.make(made, making, act)

    def abort(self, into: str, act: Act) -> rules.UnderWay:
        """Give a merge up."""
        return attempt(self._home.history, lambda: rules.abort(self._lines, into, act))

    def _planned(self, under: rules.UnderWay, asked: Request) -> Plan:
        state = under.state
        models = rules.models(self._lines, state)
        return self._merging.planned(models, [bytes.fromhex(id_) for id_ in state.bases], asked)

    def _try(self, under: rules.UnderWay, wish: states.Resolution, *, again: bool) -> None:
        """Raise UsageError when a method cannot decide one of the conflicts that are meant."""
        meant = {one.name for one in decisions.meant(under.state, wish.target, again=again)}
        wished = decisions.with_one(under.state, wish, again=again)
        made = self._planned(under, decided(replace(under, state=wished)))
        for conflict in made.conflicts:
            if conflict.name in meant:
                raise UsageError(f"{conflict.name}: {conflict.why}", hint="take a side, or another method")

    def _check_given(
        self, under: rules.UnderWay, meant: list[states.Conflict], data: bytes, file: Path
    ) -> None:
        """Raise UsageError when what is given cannot be the tensor that is meant."""
        target = meant[0].name
        if meant[0].kind != "tensor":
            return  # a file may be anything
        models = self._planned(under, request_of(under)).models
        tensor = next((side.tensors[target] for side in models if target in side.tensors), None)
        if tensor is not None:
            check(array(data, str(file)), tensor.tensor.dtype, tensor.shape, str(file))

    def _caught_up(self, under: rules.UnderWay, act: Act) -> rules.UnderWay:
        """The merge upon what the branch stands on now."""
        head = self._lines.branch(under.branch).state.head
        state = under.state
        if head is None or head == state.ours:
            return under
        same = same_models(self._lines, under, head)
        before = self._planned(under, request_of(under)).models[0]
        anew = replace(under, state=replace(state, ours=head))
        made = self._planned(anew, request_of(under))
        ours = made.models[0]
        touched = [
            conflict.name
            for conflict in state.conflicts
            if not same
            or not _same_in(conflict, before.tensors, ours.tensors)
            or (conflict.kind == "file" and before.files.get(conflict.name) != ours.files.get(conflict.name))
        ]
        kept = tuple(
            one for one in state.resolutions if not any(decisions.fits(one.target, name) for name in touched)
        )
        conflicts = tuple(made.conflicts)
        moved = replace(anew.state, conflicts=conflicts, resolutions=kept)
        attempt(self._home.history, lambda: rules.move_on(self._lines, under, moved, act))
        return rules.under_way(self._lines, under.branch)


def _same_in(conflict: states.Conflict, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if conflict.kind != "tensor":
        return True
    one, other = before.get(conflict.name), after.get(conflict.name)
    return one is other or (one is not None and other is not None and bool(one.same_as(other)))


def request_of(under: rules.UnderWay) -> Request:
    """What the merge was asked with."""
    return msgspec.convert(under.state.request, ready(Request))


def decided(under: rules.UnderWay) -> Request:
    """What the merge was asked with, and what was decided since."""
    asked = request_of(under)
    choices: list[Choice] = []
    for conflict in under.state.conflicts:
        one = decisions.decided(under.state, conflict.name)
        if one is not None:
            method = TAKE.get(one.how, one.method)
            choices.append(Choice(conflict.kind, conflict.name, method, one.parameters, one.given))
    return replace(asked, choices=(*asked.choices, *choices))


def still_open(under: rules.UnderWay) -> Diverged:
    """The error that says what is left to decide."""
    names = ", ".join(conflict.name for conflict in under.open[:SHOWN])
    more = f" and {len(under.open) - SHOWN} more" if len(under.open) > SHOWN else ""
    count = len(under.open)
    return Diverged(
        f"the merge of {under.state.source} into {under.branch} waits for {count}"
        f" decision{'s' if count > 1 else ''}: {names}{more}",
        hint="lepton conflicts lists them, lepton resolve decides, then lepton merge --continue",
    )
