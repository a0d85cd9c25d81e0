"""``lepton import``: a bundle, or everything that another tool kept of a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption
from lepton_ai.cli.output import (
    Column,
    human_size,
    local_time,
    plural,
    print_json,
    print_table,
    say,
)
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.incoming.contract import KINDS
from lepton_ai.incoming.recognising import open_source, recognise
from lepton_ai.incoming.report import Report
from lepton_ai.incoming.taking import bring

VERSIONS = (
    Column("Version", style="bold"),
    Column("Author", wrap=True),
    Column("Created At"),
    Column("Files", right=True),
    Column("Size", right=True),
    Column("Message", wrap=True),
)
RENAMED = (Column("Renamed"), Column("There", wrap=True), Column("Here", wrap=True), Column("Why", wrap=True))
LEFT = (Column("Not taken", wrap=True), Column("Of", wrap=True), Column("Why", wrap=True))


def kinds(incomplete: str) -> list[str]:
    """Kinds of sources, for the shell."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


@examples(
    "lepton import digits.lepton -b vendor --name v1.0",
    "lepton import ../dvc-project --path models --dry-run",
    "lepton import sqlite:///mlflow.db --model digits",
    "lepton import ~/.cache/huggingface/hub/models--distilbert--distilgpt2",
)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="What lepton export wrote; a git repository with DVC or git-lfs; an mlruns folder, mlflow.db or "
            "sqlite:///FILE; a model in a Hugging Face cache, or a model's folder.",
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KIND",
            help=f"What it is, when that is not plain: {', '.join(KINDS)}.",
            autocompletion=kinds,
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which of an MLflow registry.", show_default=False),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path",
            metavar="PATH",
            help="Only this path of a git repository, with all that is there; may be repeated.",
            show_default=False,
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option(
            "--objects",
            metavar="FOLDER",
            help="Where bytes are, too: a DVC cache or remote, LFS objects, artifacts; may be repeated.",
            show_default=False,
        ),
    ] = None,
    branch: BranchOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What a bundle's version is called (default: the next number).",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come.")] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Take in a bundle, or what another tool kept.

    Of DVC, git-lfs, MLflow and Hugging Face every version comes with its files, author, time, message, params and
    metrics, on branches, tags and aliases as they are there. Stopped at any point, the same command goes on; later it
    brings only what is new. It ends with a list of what could not be taken over.
    """
    if (kind or recognise(source)) == "bundle":
        _refuse(dry_run=dry_run, model=model, path=path, objects=objects)
        with opened(repo, as_json=as_json) as repository:
            version = repository.import_version(Path(source).expanduser(), branch, name=name)
            taken = made(repository, version)
        taken.print("imported", as_json=as_json)
        return
    if name is not None:
        raise UsageError("--name is for a bundle: a source names its versions", hint="leave it out")
    with opened(repo, as_json=as_json) as repository:
        places = [Path(folder).expanduser() for folder in objects or ()]
        found = open_source(source, kind, model=model, paths=path or (), objects=places)
        report = bring(repository, found, branch, dry_run=dry_run)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _refuse(**given: object) -> None:
    """Refuse options that mean nothing for a bundle.

    Raises:
        UsageError: one was given.
    """
    for option, value in given.items():
        if value:
            raise UsageError(
                f"--{option.replace('_', '-')} is not for a bundle", hint="leave it out, or say --from"
            )


def _print(report: Report) -> None:
    scope = f" ({report.scope})" if report.scope else ""
    if report.taken:
        print_table(
            VERSIONS,
            (
                (
                    f"{t.branch}@{t.name}" if t.name else t.branch,
                    t.author,
                    local_time(t.created_at),
                    f"{t.files} of {t.files + t.missing}" if t.missing else str(t.files),
                    human_size(t.bytes),
                    t.message.partition("\n")[0],
                )
                for t in report.taken
            ),
        )
    for label in report.labels:
        say(f"{label.kind} {label.name} is {label.version}")
    if report.renamed:
        say("")
        print_table(RENAMED, ((r.what, r.before, r.after, r.why) for r in report.renamed))
    if report.left:
        say("")
        print_table(LEFT, _left(report))
    if report.taken or report.labels or report.renamed or report.left:
        say("")
    say(f"from {report.kind} in {report.place}{scope}: {_summary(report)}")


def _left(report: Report) -> list[tuple[str, str, str]]:
    """What is said alike of several versions is said once."""
    alike = Counter((left.what, left.why) for left in report.left)
    of = {(left.what, left.why): left.reference for left in report.left}
    return [(what, f"{n} versions" if n > 1 else of[what, why], why) for (what, why), n in alike.items()]


def _summary(report: Report) -> str:
    new = [taken for taken in report.taken if not taken.completed]
    completed = len(report.taken) - len(new)
    told = f"{plural(len(new), 'version')} {'would come' if report.dry_run else 'taken'}"
    told += f", {completed} completed" if completed else ""
    told += f", {report.known} here already" if report.known else ""
    incomplete = sum(bool(taken.missing) for taken in report.taken)
    told += f", {incomplete} incomplete" if incomplete else ""
    if report.dry_run or not report.taken:
        return told
    return (
        f"{told}; {human_size(abs(report.new_bytes))} {'newly' if report.new_bytes >= 0 else 'less'} stored"
    )
