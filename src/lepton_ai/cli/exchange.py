"""``lepton push`` and ``clone``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec.structs import asdict

from lepton_ai.cli import complete
from lepton_ai.cli.bars import bars
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.output import human_size, note, plural, print_json, say
from lepton_ai.cli.session import opened
from lepton_ai.client.sync.pull import Pulled
from lepton_ai.client.sync.push import Pushed
from lepton_ai.errors import UsageError
from lepton_ai.repository import ModelRepository

SHOWN = 8
RemoteArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="REMOTE",
        help="The remote (default: the only one, or origin).",
        autocompletion=complete.remotes,
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would travel.")]


@examples("lepton push", "lepton push origin -b main -b feature", "lepton push --dry-run --json")
def push(
    remote: RemoteArgument = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            "-b",
            "--branch",
            metavar="BRANCH",
            help="The branch (default: the current one); may be repeated.",
            autocompletion=complete.branches,
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All branches.")] = False,
    keep_key: Annotated[
        bool,
        typer.Option(
            "--keep-key",
            help="A server that is new to this repository does not get the key: it cannot look inside.",
        ),
    ] = False,
    dry_run: DryRun = False,
    insecure: Insecure = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Bring what a remote lacks there.

    The versions of the branch, its name, tags and aliases. Only what is missing travels, as it is stored; a push that
    was cut off goes on where it ended. A branch that has versions there which you lack is refused: pull first.
    """
    insecure_too(insecure)
    if everything and branch:
        raise UsageError("--all and --branch say different things", hint="leave one of them out")
    with opened(repo, as_json=as_json) as repository:
        names = [each.name for each in repository.branches()] if everything else branch or []
        done = repository.push(remote, names, dry_run=dry_run, keep_key=keep_key)
    if as_json:
        print_json(asdict(done))
        return
    tell(done, "would push" if dry_run else "pushed", f"to {done.remote}", f"{done.remote} has everything")


@examples(
    "lepton clone https://models.example.com/ada/digits",
    "lepton clone https://models.example.com/ada/digits mine --depth 1",
    "lepton clone /media/usb/digits --branch feature",
)
def clone(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https://HOST/OWNER/NAME, or a folder.", show_default=False)
    ],
    folder: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="Where to (default: the repository's name).", show_default=False),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option("-b", "--branch", metavar="BRANCH", help="Only this branch.", show_default=False),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            help="The content of the newest N versions of a branch only; the rest is fetched when it is needed.",
            show_default=False,
        ),
    ] = None,
    without_content: Annotated[
        bool, typer.Option("--without-content", help="No content: it is fetched when it is needed.")
    ] = False,
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Make a place of your own of a repository.

    With its whole history. A clone that was cut off goes on when it is repeated.
    """
    insecure_too(insecure)
    if depth is not None and depth < 1:
        raise UsageError(f"--depth {depth} brings nothing", hint="say --without-content, or a number from 1")
    with (
        bars(quiet=as_json) as progress,
        ModelRepository.clone(
            url, folder, branch=branch, depth=depth, content=not without_content, progress=progress
        ) as made,
    ):
        versions = len(made.list_versions())
        told = {
            "path": str(made.path),
            "id": made.home.config.id,
            "remote": made.remotes()[0].name,
            "url": made.remotes()[0].url,
            "versions": versions,
            "branches": [each.name for each in made.branches()],
        }
    if as_json:
        print_json(told)
    else:
        say(f"cloned {plural(versions, 'version')} into {made.path}")


def tell(done: Pushed | Pulled, did: str, where: str, nothing: str) -> None:
    """Say what travelled."""
    parts = []
    if done.versions:
        parts.append(f"{plural(len(done.versions), 'version')} ({_some(done.versions)})")
    if done.branches:
        parts.append(f"{'branches' if len(done.branches) > 1 else 'branch'} {_some(done.branches)}")
    if done.labels:
        parts.append(_some([label.replace("/", " ", 1) for label in done.labels]))
    if not parts and not done.objects:
        say(nothing)
    else:
        say(f"{did} {', '.join(parts) or 'updates'} {where}; {human_size(done.bytes)}")
    for text in done.notes:
        note(text)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
