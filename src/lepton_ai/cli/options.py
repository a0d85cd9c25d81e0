"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from lepton_ai.cli import complete
from lepton_ai.errors import UsageError

VersionArgument = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        help="v2, branch@v2, v2~1 (its first revision), a tag, an alias, a branch or the beginning of an id.",
        autocompletion=complete.versions,
        show_default=False,
    ),
]
BranchOption = Annotated[
    str | None,
    typer.Option(
        "-b",
        "--branch",
        metavar="BRANCH",
        help="The branch (default: the current one).",
        autocompletion=complete.branches,
        show_default=False,
    ),
]
MessageOption = Annotated[
    str | None,
    typer.Option("-m", "--message", metavar="TEXT", help="Why, in your words.", show_default=False),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Go ahead although a file is in the way.")]
ReadAllOption = Annotated[
    bool,
    typer.Option("--read-all", help="Read files again that have not changed since they were read."),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Only the newest N (default: all).", show_default=False),
]

MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME=NUMBER", help="A metric; may be repeated.", show_default=False),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A parameter; may be repeated. Numbers, true, false and JSON lists are kept as such.",
        show_default=False,
    ),
]
DatasetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME|KEY=VALUE|JSON",
        help="The training data: a name, or name=, source=, digest=, rows=, preprocessing= (may be repeated).",
        show_default=False,
    ),
]
HistoryOption = Annotated[
    str | None,
    typer.Option("--history", metavar="FILE", help="Training curves as JSON or CSV.", show_default=False),
]
AuthorOption = Annotated[
    str | None,
    typer.Option(
        "--author",
        metavar="NAME",
        help="Who made it (default: LEPTON_AI_AUTHOR, git's user, the system's).",
        show_default=False,
    ),
]


def check_limit(limit: int | None) -> None:
    """Refuse a limit that would show nothing: it would look as if nothing was there.

    Raises:
        UsageError.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} shows nothing", hint="give a number from 1")
