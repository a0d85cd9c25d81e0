"""``lepton merge``: a branch into another, several versions into a branch, or what either would do."""

from __future__ import annotations

from typing import Any

import msgspec

from lepton_ai.cli import exits, inputs
from lepton_ai.cli.conflicts import AbortOption, ContinueOption, check_ending, ended
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.judging import BestOption, ByOption, CandidateOption, EvaluateOption
from lepton_ai.cli.merge_options import (
    AidOption,
    AllOption,
    BaseOption,
    ConfigOption,
    DryRunOption,
    EverywhereOption,
    IntoOption,
    MethodOption,
    NamesOption,
    NoFfOption,
    OnConflictOption,
    ParamOption,
    ReplayOption,
    RuleOption,
    SeedOption,
    SourcesArgument,
    WeightOption,
    WithCodeOption,
)
from lepton_ai.cli.merge_told import print_made, print_preview
from lepton_ai.cli.merge_typed import aids, configured, typed, weights
from lepton_ai.cli.options import MessageOption
from lepton_ai.cli.output import print_json, say
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened
from lepton_ai.errors import Damaged, NotFound, UsageError
from lepton_ai.handles import Version
from lepton_ai.history.lines import MAIN
from lepton_ai.repository import ModelRepository


@examples(
    "lepton merge feature",
    "lepton merge feature --into release -m 'goes into 2.0'",
    "lepton merge feature --method ties --param density=0.5 --dry-run",
    "lepton merge feature --method linear --rule 'lm_head.*=ours' --on-conflict theirs",
    "lepton merge left right main@v3 --method task_arithmetic --weight 0.5 --weight 0.3 --weight 0.2",
    "lepton merge feature --on-conflict stop",
    "lepton merge --continue",
    "lepton merge feature --evaluate 'python eval.py {dir}' --candidate ours --candidate slerp:t=0.3",
    "lepton merge --replay v7",
)
def merge(
    sources: SourcesArgument = None,
    *,
    into: IntoOption = None,
    message: MessageOption = None,
    method: MethodOption = None,
    on_conflict: OnConflictOption = None,
    rule: RuleOption = None,
    weight: WeightOption = None,
    param: ParamOption = None,
    seed: SeedOption = None,
    base: BaseOption = None,
    everywhere: EverywhereOption = False,
    aid: AidOption = None,
    config: ConfigOption = None,
    no_ff: NoFfOption = False,
    dry_run: DryRunOption = False,
    everything: AllOption = False,
    replay: ReplayOption = None,
    names: NamesOption = None,
    with_code: WithCodeOption = False,
    evaluate: EvaluateOption = None,
    candidate: CandidateOption = None,
    by: ByOption = None,
    best: BestOption = None,
    continue_: ContinueOption = False,
    abort: AbortOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Bring what a branch has into another.

    DST moves forward when it has nothing that SRC lacks. Else the weights are merged: a tensor that one side alone
    changed is taken bit for bit, one that both changed is merged as you say. Exits with 1, and changes nothing, when
    something conflicts that you said nothing about. With --on-conflict stop the merge then waits, for everybody to see:
    lepton conflicts and lepton resolve decide, --continue makes the version, --abort gives it up.
    """
    asked = _said(
        method=method,
        on_conflict=on_conflict,
        rules=rule,
        weights=weights(weight),
        parameters=inputs.params(param),
        seed=seed,
        base=base,
        aids=aids(aid),
        everywhere=everywhere or None,
        names=names,
        with_code=with_code or None,
        evaluate=evaluate,
        candidates=candidate,
        metric=by,
        best=best,
    )
    _check_all(everything, dry_run)
    said = typed(asked | {"dry_run": dry_run, "no_ff": no_ff, "config": config, "replay": replay})
    with opened(repo, as_json=as_json) as repository:
        if continue_ or abort:
            check_ending(sources, said, both=continue_ and abort)
            return ended(repository, into, abort=abort, message=message or "", as_json=as_json)
        target = MAIN if into is None else into
        if replay is not None:
            return _replayed(repository, replay, alone=not sources and len(said) == 1, as_json=as_json)
        if config is not None:
            sources, told = repository.read_merge_config(config, sources or ())
            asked = configured(told, asked)
        if not sources:
            raise UsageError("nothing is named to be merged", hint="lepton merge BRANCH")
        single = sources[0] if not config and _is_branch(repository, sources) else None
        if dry_run:
            found = repository.preview_merge(
                sources if single is None else single, target, fast_forward=not no_ff, **asked
            )
            brought = None
        else:
            version = _merged(repository, single, sources, target, message or "", asked, no_ff=no_ff)
            brought = (made(repository, version), version.merged) if version is not None else None
    if dry_run:
        return print_preview(msgspec.to_builtins(found), everything=everything, as_json=as_json)
    return print_made(brought, ", ".join(sources), target, as_json=as_json)


def _said(**options: Any) -> dict[str, Any]:
    """Those that somebody typed."""
    return {name: value for name, value in options.items() if value is not None}


def _check_all(everything: bool, dry_run: bool) -> None:
    if everything and not dry_run:
        raise UsageError("--all is for --dry-run, which lists what would be merged", hint="say both")


def _merged(
    repository: ModelRepository,
    single: str | None,
    sources: list[str],
    into: str,
    message: str,
    asked: dict[str, Any],
    *,
    no_ff: bool,
) -> Version | None:
    if single is None:
        return repository.merge_versions(sources, into, message=message, **asked)
    return repository.merge_branch(single, into, message=message, fast_forward=not no_ff, **asked)


def _is_branch(repository: ModelRepository, sources: list[str]) -> bool:
    """Whether one branch is named; what is nothing at all is taken for one, and refused as such."""
    if len(sources) > 1:
        return False
    name = sources[0]
    try:
        repository.lines.branch(name, deleted=True)
    except NotFound as missing:
        try:
            repository.version(name)
        except NotFound:
            raise missing from None
        return False
    return True


def _replayed(repository: ModelRepository, address: str, *, alone: bool, as_json: bool) -> int:
    if not alone:
        raise UsageError("--replay merges nothing new", hint="lepton merge --replay VERSION")
    version = repository.version(address)
    if not repository.replay_merge(version):
        raise Damaged(
            f"the merge {version.name!r} gives another content when it is done again",
            hint="was it made with another version of a method? lepton verify checks what is stored",
        )
    if as_json:
        print_json({"version": version.id, "content_id": version.content_id, "same": True})
    else:
        say(f"{version.address} done again: the same content, {version.content_id[:12]}")
    return exits.OK
