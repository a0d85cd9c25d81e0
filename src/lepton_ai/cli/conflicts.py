"""``lepton conflicts`` and ``lepton resolve``: what a merge in progress waits for, and deciding it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lepton_ai.cli import complete, exits
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.judging import BestOption, ByOption, CandidateOption, EvaluateOption
from lepton_ai.cli.options import MessageOption
from lepton_ai.cli.output import Column, local_time, plural, print_json, print_table, say
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.history.changes.decisions import fits
from lepton_ai.repository import ModelRepository
from lepton_ai.telling import merges

COLUMNS = (
    Column("Conflict", style="cyan", wrap=True),
    Column("Kind"),
    Column("Why", wrap=True),
    Column("Decided"),
    Column("By"),
    Column("Reason", wrap=True),
)
SHOWN = 3

IntoOption = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="BRANCH",
        help="The branch that is merged into (default: that of the only merge in progress).",
        autocompletion=complete.branches,
        show_default=False,
    ),
]

ContinueOption = Annotated[
    bool, typer.Option("--continue", help="Finish the merge in progress: all its conflicts are decided.")
]
AbortOption = Annotated[bool, typer.Option("--abort", help="Give the merge in progress up.")]


@examples(
    "lepton conflicts",
    "lepton conflicts config.json",
    "lepton conflicts --into release --json",
)
def conflicts(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Only print this text, with conflict markers.", show_default=False
        ),
    ] = None,
    into: IntoOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Show what a merge in progress waits for.

    Every conflict, who decided what, and why. Exits with 1 while something is open. Of a FILE that both sides changed
    in the same lines it prints the text with both between conflict markers: edit it, and lepton resolve FILE --file
    takes it.
    """
    with opened(repo, as_json=as_json) as repository:
        merge = repository.merge_in_progress(into)
        if name is not None:
            return _print_marked(name, merge.text(name), as_json=as_json)
        several = merge.branch if len(repository.merges_in_progress()) > 1 else None
        told, said = merges.told(merge), merge.said
        sides = [
            f"{side}: {', '.join(version.address for version in found)}"
            for side, found in merge.sides.items()
            if found
        ]
    if as_json:
        print_json(told)
    else:
        say(f"{said} ({'; '.join(sides)}):")
        print_table(COLUMNS, (_row(one) for one in told["conflicts"]))
        _say_left(told["open"], into=several)
    return exits.DIFFERENT if told["open"] else exits.OK


@examples(
    "lepton resolve encoder.0.weight --theirs -m 'trained longer'",
    "lepton resolve 'encoder.*' --method slerp:t=0.3",
    "lepton resolve head.bias --file bias.npy",
    "lepton resolve config.json --file merged/config.json",
    "lepton resolve '*' --evaluate 'python eval.py {dir}' --candidate ours --candidate ties",
)
def resolve(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TENSOR|FILE|GLOB",
            help="A conflict, or all open ones whose names fit.",
            show_default=False,
        ),
    ],
    *,
    ours: Annotated[bool, typer.Option("--ours", help="Take what the branch has.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Take what is merged into it.")] = False,
    base: Annotated[bool, typer.Option("--base", help="Take what both came from.")] = False,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="M", help="Merge it: linear, slerp:t=0.3, ties …", show_default=False
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Take this: of a tensor an .npy file, of a file its content.",
            show_default=False,
        ),
    ] = None,
    evaluate: EvaluateOption = None,
    candidate: CandidateOption = None,
    by: ByOption = None,
    best: BestOption = None,
    into: IntoOption = None,
    message: MessageOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="With a glob: decide anew what is decided already, too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overrule what somebody else decided.")] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Decide conflicts of a merge in progress.

    Say one of --ours, --theirs, --base, --method, --file or --evaluate. A name decides anew what was decided before; a
    glob leaves that as it is, unless with --again. The merge records who decided what, when and
    why. When all is decided, lepton merge --continue makes the version.
    """
    sides = [name for name, said in (("ours", ours), ("theirs", theirs), ("base", base)) if said]
    ways = [*sides, *filter(None, (method, file, evaluate))]
    if len(ways) != 1:
        raise UsageError(
            f"{len(ways)} ways to decide are said",
            hint="say one of --ours, --theirs, --base, --method, --file, --evaluate",
        )
    with opened(repo, as_json=as_json) as repository:
        merge = repository.merge_in_progress(into)
        names = merge.resolve(
            target,
            sides[0] if sides else "",
            method=method or "",
            file=Path(file) if file else None,
            evaluate=evaluate or "",
            candidates=candidate,
            metric=by or "",
            best=best,
            why=message or "",
            again=again,
            force=force,
        )
        several = merge.branch if len(repository.merges_in_progress()) > 1 else None
        told = merges.told(merge)
    kept = [
        one["name"] for one in told["conflicts"] if fits(target, one["name"]) and one["name"] not in names
    ]
    if as_json:
        print_json({"resolved": names, "kept": kept, **told})
    else:
        _say_resolved(told, names, kept)
        _say_left(told["open"], into=several)


def check_ending(sources: list[str] | None, said: list[str], *, both: bool) -> None:
    """Raise UsageError when more is ``said`` than that a merge in progress ends."""
    if both:
        raise UsageError("--continue and --abort exclude each other", hint="say one of them")
    if sources or said:
        what = (sources or said)[0]
        raise UsageError(
            f"the merge in progress knows what it merges and how; {what!r} is too much",
            hint="lepton merge --continue, with --into BRANCH when several are in progress",
        )


def ended(
    repository: ModelRepository, branch: str | None, *, abort: bool, message: str, as_json: bool
) -> int:
    """Do what ``lepton merge --continue`` and ``--abort`` do."""
    merge = repository.merge_in_progress(branch)
    into = merge.branch
    if abort:
        said = merge.said
        merge.abort(why=message)
        if as_json:
            print_json({"aborted": said})
        else:
            say(f"gave up the merge of {said}; {into} is as it was")
        return exits.OK
    source = merge.source
    made(repository, merge.finish(message=message)).print(
        f"merged {source} into {into}, which stands on", as_json=as_json
    )
    return exits.OK


def _print_marked(name: str, data: bytes, *, as_json: bool) -> int:
    if as_json:
        print_json({"name": name, "text": data.decode("utf-8", "replace")})
    else:
        typer.echo(data, nl=False)
    return exits.OK


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    by = f"{one['by']}, {local_time(one['at'])}" if one["by"] else ""
    return one["name"], one["kind"], one["why"], one["decided"] or "open", by, one["reason"] or ""


def _say_resolved(told: dict[str, Any], names: list[str], kept: list[str]) -> None:
    chosen = [one for one in told["conflicts"] if one["name"] in names]
    for one in chosen:
        say(f"{one['name']}: {one['decided']}")
    for name, result in (chosen[0]["results"] if chosen else {}).items():
        say(f"  {name}: {result}")
    if kept:
        shown = ", ".join(kept[:SHOWN]) + (" …" if len(kept) > SHOWN else "")
        say(f"{len(kept)} left as decided before: {shown} (--again)")


def _say_left(left: list[str], *, into: str | None) -> None:
    """``into``: the branch, where it has to be said."""
    where = f" --into {into}" if into else ""
    if left:
        say(
            f"{plural(len(left), 'conflict')} left to decide: lepton resolve NAME --ours|--theirs|--method M{where}"
        )
    else:
        say(f"everything is decided: lepton merge --continue{where}")
