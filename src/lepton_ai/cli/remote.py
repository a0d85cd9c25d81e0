"""``lepton remote`` and its commands: names for other places of a repository."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lepton_ai.cli import complete
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.output import Column, note, print_json, print_table
from lepton_ai.cli.session import opened
from lepton_ai.cli.table import Entry
from lepton_ai.client.remotes import Remote

SECTION = "Remotes"
ENTRIES = (
    Entry("list", "remote:list_", "List remotes.", SECTION),
    Entry("add", "remote:add", "Call another place of this repository by a name.", SECTION),
    Entry("remove", "remote:remove", "Forget a remote; the place itself stays as it is.", SECTION),
    Entry("repositories", "on_server:repositories", "List the repositories of a server.", SECTION),
    Entry("restore", "on_server:restore", "Bring a repository back that was removed from a server.", SECTION),
)
COLUMNS = (Column("Name", style="bold"), Column("Place"), Column("Blocks"))


@examples("lepton remote", "lepton remote add origin https://models.example.com/ada/digits")
def remote(context: typer.Context, repo: Repo = None, as_json: Json = False) -> None:
    """List, add and remove remotes: other places of this repository, on a server or in a folder.

    Without a command they are listed.
    """
    if context.invoked_subcommand is None:
        list_(repo, as_json)


@examples("lepton remote list --json")
def list_(repo: Repo = None, as_json: Json = False) -> None:
    """List remotes."""
    with opened(repo, as_json=as_json) as repository:
        found = repository.remotes()
    if as_json:
        print_json([_plain(each) for each in found])
        return
    if not found:
        note("there are no remotes; lepton remote add origin URL names one")
        return
    print_table(COLUMNS, [(r.name, r.url, "fetched when needed" if r.state.partial else "") for r in found])


@examples(
    "lepton remote add origin https://models.example.com/ada/digits",
    "lepton remote add usb /media/usb/digits",
)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name here.", show_default=False)],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https://HOST/OWNER/NAME, or a folder.", show_default=False)
    ],
    insecure: Insecure = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Call another place of this repository by a name.

    It need not be there yet: the first push makes it.
    """
    insecure_too(insecure)
    with opened(repo, as_json=as_json) as repository:
        made = repository.add_remote(name, url)
    if as_json:
        print_json(_plain(made))
    else:
        note(f"{made.name} is {made.url}")


@examples("lepton remote remove usb")
def remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The remote.", autocompletion=complete.remotes, show_default=False
        ),
    ],
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Forget a remote; the place itself stays as it is."""
    with opened(repo, as_json=as_json) as repository:
        repository.remove_remote(name)
    if as_json:
        print_json({"name": name})
    else:
        note(f"forgot {name}")


def _plain(one: Remote) -> dict[str, Any]:
    return {"name": one.name, "url": one.url, "partial": one.state.partial, "branch": one.state.only or None}


GROUP = Group(ENTRIES, remote)
