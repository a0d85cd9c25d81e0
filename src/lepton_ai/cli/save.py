"""``lepton save`` and ``lepton update``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.cli import inputs
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import (
    AuthorOption,
    BranchOption,
    DatasetOption,
    HistoryOption,
    MessageOption,
    MetricOption,
    ParamOption,
    ReadAllOption,
    VersionArgument,
)
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened
from lepton_ai.errors import AlreadyExists, NotFound, UsageError
from lepton_ai.history.carried import Carried, prepare
from lepton_ai.history.files import collect
from lepton_ai.history.headstart import begun
from lepton_ai.history.save import Start
from lepton_ai.repository import ModelRepository


@examples(
    "lepton save model.safetensors -m 'first try'",
    "lepton save model.keras -b feature --name v2 --metric accuracy=0.97 --param epochs=10",
    "lepton save llama/ --dataset name=wiki --dataset rows=120000 --history training.json",
)
def save(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, or one folder whose content is taken.")
    ],
    branch: BranchOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Its name (default: the next number).", show_default=False
        ),
    ] = None,
    message: MessageOption = None,
    metric: MetricOption = None,
    param: ParamOption = None,
    dataset: DatasetOption = None,
    history: HistoryOption = None,
    author: AuthorOption = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent",
            metavar="VERSION",
            help="Save only if this still is the branch's newest version.",
            show_default=False,
        ),
    ] = None,
    *,
    read_all: ReadAllOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Save files as the next version.

    Without any repository it makes one in this folder, and says so. The git checkout and the Python environment are
    recorded too.
    """
    carried = _carried(message, metric, param, dataset, history, author)
    files = [Path(path) for path in paths]
    collect(files)  # a mistyped path must not leave a new repository behind
    with opened(repo, as_json=as_json, make=True) as repository:
        repository.home.read_all |= read_all
        repository.home.head_start = begun()
        into = _branch(repository, branch)
        try:
            version = repository.save_files(list(files), into, name=name, parent=parent, **carried)
        except AlreadyExists as taken:
            typed = " ".join(paths)
            raise AlreadyExists(
                taken.message.partition(" (")[0],
                hint=f"a new revision of it: lepton update {into}@{name} {typed}",
            ) from taken
        saved = made(repository, version)
    saved.print("saved", as_json=as_json)


@examples(
    "lepton update v2 model.safetensors -m 'trained for longer'",
    "lepton update v2 --metric accuracy=0.98",
)
def update(
    version: VersionArgument,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Its files from now on (default: they stay).", show_default=False
        ),
    ] = None,
    branch: BranchOption = None,
    message: MessageOption = None,
    metric: MetricOption = None,
    param: ParamOption = None,
    dataset: DatasetOption = None,
    history: HistoryOption = None,
    author: AuthorOption = None,
    *,
    read_all: ReadAllOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Write a new revision of a version.

    The name stays, the old revision stays too: v2 is the newest one, v2~1 the first. What is not given stays as it
    was; metrics, params and the dataset are replaced as a whole.
    """
    carried = _carried(message, metric, param, dataset, history, author)
    if not paths and not carried:
        raise UsageError("nothing to update", hint="give files, or --metric, --param, --message …")
    with opened(repo, as_json=as_json) as repository:
        repository.home.read_all |= read_all
        repository.home.head_start = begun()
        found = repository.living(repository.version(version, branch))
        files = collect([Path(path) for path in paths]) if paths else None
        start = Start(found.record.branch, found.row.name, None, found)
        updated = repository.fill_draft(start, files, prepare(carried))
        revised = made(repository, updated)
    revised.print("updated", as_json=as_json)


def _carried(
    message: str | None,
    metric: list[str] | None,
    param: list[str] | None,
    dataset: list[str] | None,
    history: str | None,
    author: str | None,
) -> Carried:
    given = Carried(
        message=message,
        metrics=inputs.metrics(metric),
        params=inputs.params(param),
        dataset=inputs.dataset(dataset),
        history=Path(history).expanduser() if history else None,
        author=author,
    )
    for key in [key for key, value in given.items() if value is None]:
        given.pop(key)  # type: ignore[misc]  # a key of Carried, as it was iterated
    return given


def _branch(repository: ModelRepository, name: str | None) -> str:
    """The branch to save on.

    Raises:
        NotFound: there is none of this name; says how to make it.
    """
    into = name or repository.current_branch
    try:
        repository.lines.branch(into, deleted=True)
    except NotFound as missing:
        raise NotFound(missing.message, hint=f"lepton branch {into} makes it") from missing
    return repository.lines.branch(into).name
