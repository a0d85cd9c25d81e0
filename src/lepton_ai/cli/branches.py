"""``lepton branch`` and ``lepton switch``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lepton_ai.cli import complete
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import MessageOption
from lepton_ai.cli.output import ID_DIGITS, Column, local_time, note, print_json, print_table, say
from lepton_ai.cli.reminders import reminders
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.history.record import timestamp
from lepton_ai.repository import ModelRepository

COLUMNS = (
    Column(" "),
    Column("Branch", style="cyan"),
    Column("Newest"),
    Column("Id", style="bright_black"),
    Column("Created At"),
    Column("Created By", wrap=True),
    Column("Status"),
)


@examples(
    "lepton branch",
    "lepton branch feature",
    "lepton branch hotfix --from production",
    "lepton branch --rename feature wider",
    "lepton branch --delete feature",
)
def branch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="The branch to create or delete; OLD NEW with --rename.",
            autocompletion=complete.branches,
            show_default=False,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="VERSION",
            help="Where it starts: a version or a branch (default: the newest of main).",
            autocompletion=complete.versions,
            show_default=False,
        ),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", "-d", help="Delete the branch.")] = False,
    rename: Annotated[bool, typer.Option("--rename", help="Call branch OLD from now on NEW.")] = False,
    exist_ok: Annotated[
        bool, typer.Option("--exist-ok", help="It is no error that the branch exists already.")
    ] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="List deleted branches too.")] = False,
    message: MessageOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List, create, rename or delete branches.

    Merged versions stay when a branch is deleted; the others go with it, and lepton restore --branch brings all back.
    """
    given = names or []
    _check(given, delete=delete, rename=rename, base=base)
    with opened(repo, as_json=as_json) as repository:
        if not given:
            _list(repository, deleted=deleted, as_json=as_json)
            return
        if delete:
            gone = repository.delete_branch(given[0], why=message or "")
            told: dict[str, Any] = {"deleted": given[0], "versions": gone}
            also = f" with {', '.join(gone)}" if gone else ""
            text = f"deleted branch {given[0]}{also}; lepton restore --branch {given[0]} brings it back"
        elif rename:
            repository.rename_branch(*given)
            told = {"renamed": given[0], "name": given[1]}
            text = f"branch {given[0]} is called {given[1]} now"
        else:
            head = repository.create_branch(given[0], base, exist_ok=exist_ok).head
            told = {"name": given[0], "head": head and {"name": head.name, "id": head.id}}
            text = f"branch {given[0]} starts from " + (f"{head.branch}@{head.name}" if head else "nothing")
    if as_json:
        print_json(told)
    else:
        say(text)


@examples("lepton switch feature", "lepton switch --create feature")
def switch(
    name: Annotated[
        str, typer.Argument(metavar="BRANCH", help="The branch.", autocompletion=complete.branches)
    ],
    create: Annotated[
        bool, typer.Option("--create", "-c", help="Create it first, from the newest of main.")
    ] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Choose the branch that commands mean.

    It is the one for saving, listing and addressing versions when none is named.
    """
    with opened(repo, as_json=as_json) as repository:
        if create:
            repository.create_branch(name)
        repository.switch(name)
    if as_json:
        print_json({"current": name})
    else:
        say(f"commands mean branch {name} now")


def _check(names: list[str], *, delete: bool, rename: bool, base: str | None) -> None:
    if delete and rename:
        raise UsageError("--delete and --rename exclude each other", hint="say one of them")
    wanted = 2 if rename else 1
    if (delete or rename or base) and len(names) != wanted:
        form = "--rename OLD NEW" if rename else "--delete NAME" if delete else "NAME --from VERSION"
        raise UsageError(f"{len(names)} branches are named", hint=f"lepton branch {form}")
    if len(names) > wanted:
        raise UsageError(
            f"{len(names)} branches are named: {' '.join(names)}", hint="one at a time: lepton branch NAME"
        )


def _list(repository: ModelRepository, *, deleted: bool, as_json: bool) -> None:
    current = repository.current_branch
    waiting = {merge.branch: merge.said for merge in repository.merges_in_progress()}
    found = []
    for line in repository.lines.branches(deleted=deleted):
        head = repository.lines.version(line.head) if line.head else None
        found.append(
            {
                "name": line.name,
                "current": line.name == current,
                "head": {"name": head.row.name, "id": head.row.id.hex()} if head else None,
                "created_at": timestamp(line.state.created_at),
                "created_by": line.state.created_by,
                "status": "Active" if line.state.deleted is None else "Deleted",
                "merge": waiting.get(line.name),
            }
        )
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, (_row(line) for line in found))
        for text in reminders(repository):
            note(text)


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    head = line["head"] or {"name": "(empty)", "id": ""}
    created = local_time(line["created_at"])
    mark = "*" if line["current"] else " "
    return (
        mark,
        line["name"],
        head["name"],
        head["id"][:ID_DIGITS],
        created,
        line["created_by"],
        line["status"],
    )
