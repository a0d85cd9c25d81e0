"""``lepton tag`` and ``lepton alias``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lepton_ai.cli import complete, inputs
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import MessageOption
from lepton_ai.cli.output import ID_DIGITS, Column, local_time, note, print_json, print_table, say
from lepton_ai.cli.session import opened
from lepton_ai.errors import NotFound, UsageError
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository
from lepton_ai.telling.versions import label
from lepton_ai.types import LogLine

COLUMNS = (
    Column("Name", style="bold"),
    Column("Version"),
    Column("Branch", style="cyan"),
    Column("Id", style="bright_black"),
)
MOVES = (
    Column("At"),
    Column("Version"),
    Column("Id", style="bright_black"),
    Column("By"),
    Column("Why", wrap=True),
)

VersionOrNothing = Annotated[
    str | None,
    typer.Argument(
        metavar="VERSION",
        help="The version; a branch stands for its newest.",
        autocompletion=complete.versions,
        show_default=False,
    ),
]
DeleteOption = Annotated[bool, typer.Option("--delete", "-d", help="Remove it.")]


@examples("lepton tag", "lepton tag release-1.0 v2", "lepton tag paper main", "lepton tag --delete paper")
def tag(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The tag.", autocompletion=complete.tags, show_default=False),
    ] = None,
    version: VersionOrNothing = None,
    delete: DeleteOption = False,
    message: MessageOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List, set or remove tags: fixed names.

    A tagged version cannot be deleted. A tag never moves; for a name that does, see lepton alias.
    """
    _check("tag", name, version, delete=delete)
    with opened(repo, as_json=as_json) as repository:
        if name is None:
            _list(repository.tags(), "tag", as_json=as_json)
        elif delete:
            repository.remove_tag(name)
            _tell({"deleted": name}, f"removed tag {name}", as_json=as_json)
        elif version is not None:
            named = repository.tag(name, version, message=message or "")
            text = f"tag {name} is {named.address}"
            _tell({"name": name, "version": label(named)}, text, as_json=as_json)
        else:
            _tell_one(repository.tags(), "tag", name, as_json=as_json)


@examples(
    "lepton alias",
    "lepton alias production v2 -m 'passed the gate'",
    "lepton alias production --history",
    "lepton alias production --at 2026-05-03T14:05",
    "lepton alias --delete production",
)
def alias(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The alias.", autocompletion=complete.aliases, show_default=False
        ),
    ] = None,
    version: VersionOrNothing = None,
    delete: DeleteOption = False,
    history: Annotated[bool, typer.Option("--history", help="Show everything that it meant.")] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Show what it meant then (local time, unless it ends with an offset or Z).",
            show_default=False,
        ),
    ] = None,
    message: MessageOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List, move or remove aliases: movable names.

    Their history is kept. Who was production at five past two on 3 May is one question:
    lepton alias production --at 2026-05-03T14:05.
    """
    _check("alias", name, version, delete=delete, asks=history or at is not None)
    with opened(repo, as_json=as_json) as repository:
        if name is None:
            _list(repository.aliases(), "alias", as_json=as_json)
        elif history or at is not None:
            _tell_past(repository, name, at, as_json=as_json)
        elif delete:
            repository.remove_alias(name)
            _tell({"deleted": name}, f"removed alias {name}; its history stays", as_json=as_json)
        elif version is not None:
            named = repository.set_alias(name, version, message=message or "")
            text = f"alias {name} is {named.address} now"
            _tell({"name": name, "version": label(named)}, text, as_json=as_json)
        else:
            _tell_one(repository.aliases(), "alias", name, as_json=as_json)


def _check(kind: str, name: str | None, version: str | None, *, delete: bool, asks: bool = False) -> None:
    if name is None and (delete or asks):
        raise UsageError(f"no {kind} is named", hint=f"lepton {kind} NAME …; lepton {kind} lists them")
    if delete and asks:
        raise UsageError("--delete excludes --history and --at", hint="say one of them")
    if version is not None and (delete or asks):
        raise UsageError(f"{version!r} is one argument too many", hint=f"lepton {kind} --help")


def _list(labels: dict[str, Version], kind: str, *, as_json: bool) -> None:
    if as_json:
        print_json([{"name": name, "version": label(found)} for name, found in labels.items()])
    elif labels:
        rows = [(name, _within(v), v.branch, v.id[:ID_DIGITS]) for name, v in labels.items()]
        print_table(COLUMNS, rows)
    else:
        note(f"there is no {kind}; lepton {kind} NAME VERSION makes one")


def _tell_one(labels: dict[str, Version], kind: str, name: str, *, as_json: bool) -> None:
    if name not in labels:
        raise NotFound(f"there is no {kind} {name!r}", hint=f"lepton {kind} {name} VERSION makes it")
    found = labels[name]
    text = f"{kind} {name} is {found.address} ({found.id[:ID_DIGITS]})"
    _tell({"name": name, "version": label(found)}, text, as_json=as_json)


def _tell_past(repository: ModelRepository, name: str, at: str | None, *, as_json: bool) -> None:
    key = f"alias/{name}"
    moves = [line for line in repository.log(key) if line.ref == key]
    if not moves:
        raise NotFound(f"there never was an alias {name!r}", hint="lepton alias lists them")
    if at is None:
        told = [(line, _meant(repository, line)) for line in moves]
        if as_json:
            print_json([_move(*each) for each in told])
        else:
            print_table(MOVES, (_row(*each) for each in told))
        return
    then = inputs.moment(at)
    line = next((line for line in moves if inputs.moment(line.at) <= then), None)
    meant = _meant(repository, line) if line else None
    if line is None or meant is None:
        raise NotFound(
            f"alias {name!r} meant nothing at {then:%Y-%m-%d %H:%M:%S}", hint=f"lepton alias {name} --history"
        )
    text = f"{name} was {meant.address} ({meant.id[:ID_DIGITS]})"
    since = f", set {local_time(line.at)} by {line.actor}" + (f": {line.why}" if line.why else "")
    _tell({"name": name, "at": then.isoformat(), **_move(line, meant)}, text + since, as_json=as_json)


def _meant(repository: ModelRepository, line: LogLine) -> Version | None:
    """What an alias meant from this move on; None when it was removed."""
    return repository.version(line.after, deleted=True) if line.after else None


def _move(line: LogLine, meant: Version | None) -> dict[str, Any]:
    version = None if meant is None else label(meant)
    return {"since": line.at, "by": line.actor, "why": line.why, "version": version}


def _row(line: LogLine, meant: Version | None) -> tuple[str, ...]:
    what = ("(removed)", "") if meant is None else (meant.address, meant.id[:ID_DIGITS])
    return local_time(line.at), *what, line.actor, line.why


def _within(version: Version) -> str:
    """Its address without the branch."""
    return version.address.partition("@")[2]


def _tell(told: object, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        say(text)
