"""``lepton pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec.structs import asdict

from lepton_ai.cli import complete, exits, inputs
from lepton_ai.cli.exchange import DryRun, RemoteArgument, tell
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.judging import BestOption, ByOption, CandidateOption, EvaluateOption
from lepton_ai.cli.merge_options import (
    AidOption,
    AllOption,
    EverywhereOption,
    MethodOption,
    NamesOption,
    ParamOption,
    RuleOption,
    SeedOption,
    WeightOption,
)
from lepton_ai.cli.merge_told import print_preview, print_steps
from lepton_ai.cli.merge_typed import aids, weights
from lepton_ai.cli.output import note, print_json
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError

if TYPE_CHECKING:
    from lepton_ai.bringing import How
    from lepton_ai.client.sync.pull import Pulled

OnConflictOption = Annotated[
    str | None,
    typer.Option(
        "--on-conflict",
        metavar="stop|ours|theirs|M",
        help="What becomes of what is still in conflict then: ours is the remote's, upon which yours (theirs) comes.",
        show_default=False,
    ),
]
UpdatesOption = Annotated[
    str | None,
    typer.Option(
        "--updates",
        metavar="mine|theirs",
        help="Whose value stands where both sides updated the same of a version (default: an error that says where).",
        show_default=False,
    ),
]


@examples(
    "lepton pull",
    "lepton pull --merge",
    "lepton pull --merge --dry-run --rule 'lm_head.*=theirs'",
    "lepton pull --merge --on-conflict stop",
    "lepton pull origin -b main --rebase",
)
def pull(
    remote: RemoteArgument = None,
    branch: Annotated[
        str | None,
        typer.Option(
            "-b",
            "--branch",
            metavar="BRANCH",
            help="The branch to bring together (default: the current one).",
            autocompletion=complete.branches,
            show_default=False,
        ),
    ] = None,
    *,
    merge: Annotated[
        bool, typer.Option("--merge", help="Versions on both sides: one of both, upon theirs.")
    ] = False,
    rebase: Annotated[
        bool, typer.Option("--rebase", help="Versions on both sides: yours again, upon theirs.")
    ] = False,
    ff_only: Annotated[
        bool, typer.Option("--ff-only", help="Versions on both sides: an error (default).")
    ] = False,
    updates: UpdatesOption = None,
    method: MethodOption = None,
    on_conflict: OnConflictOption = None,
    rule: RuleOption = None,
    weight: WeightOption = None,
    param: ParamOption = None,
    seed: SeedOption = None,
    everywhere: EverywhereOption = False,
    aid: AidOption = None,
    names: NamesOption = None,
    evaluate: EvaluateOption = None,
    candidate: CandidateOption = None,
    by: ByOption = None,
    best: BestOption = None,
    dry_run: DryRun = False,
    everything: AllOption = False,
    insecure: Insecure = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Take over what a remote has.

    Branches move where you have no versions of your own; others stay, until you say how to bring them together. Names
    that others know keep their meaning: your own versions stay on a branch beside. With --merge the options of lepton
    merge say how; with --dry-run too, what would conflict is listed, as for --rebase. A version that was updated on
    both sides gets what either changed.
    """
    insecure_too(insecure)
    how = _way(merge, rebase, ff_only)
    asked: dict[str, Any] = {
        "method": method,
        "on_conflict": on_conflict,
        "rules": rule or None,
        "weights": weights(weight),
        "parameters": inputs.params(param),
        "seed": seed,
        "everywhere": everywhere or None,
        "aids": aids(aid),
        "names": names,
        "evaluate": evaluate,
        "candidates": candidate or None,
        "metric": by,
        "best": best,
    }
    said = {name: value for name, value in asked.items() if value not in (None, {}, [])}
    if said and how == "ff-only":
        raise UsageError("nothing is to be merged, and it is said how", hint="say --merge or --rebase too")
    with opened(repo, as_json=as_json) as repository:
        done = repository.pull(remote, branch, how=how, dry_run=dry_run, updates=updates, **said)  # type: ignore[arg-type]  # checked there
    if as_json:
        print_json(asdict(done))
        told = [one for one in (done.preview, *done.steps) if one is not None]
        return exits.OK if all(one.possible for one in told) else exits.DIFFERENT
    return _told(done, dry_run=dry_run, everything=everything)


def _way(merge: bool, rebase: bool, ff_only: bool) -> How:
    ways: dict[How, bool] = {"merge": merge, "rebase": rebase, "ff-only": ff_only}
    said = [way for way, chosen in ways.items() if chosen]
    if len(said) > 1:
        raise UsageError("--merge, --rebase and --ff-only exclude each other", hint="leave one")
    return said[0] if said else "ff-only"


def _told(done: Pulled, *, dry_run: bool, everything: bool) -> int:
    """Say what came; the exit code."""
    foretold = done.preview is not None or bool(done.steps)
    if not foretold or done.versions or done.branches or done.labels:
        tell(
            done,
            "would pull" if dry_run else "pulled",
            f"from {done.remote}",
            f"nothing new in {done.remote}",
        )
    if done.preview is not None:
        return print_preview(msgspec.to_builtins(done.preview), everything=everything, as_json=False)
    if done.steps:
        return print_steps(msgspec.to_builtins(done.steps), everything=everything)
    for name in done.apart:
        note(f"branch {name!r} has versions of its own on both sides: lepton pull -b {name} --merge")
    return exits.OK
