"""``lepton server reindex``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lepton_ai.cli.bars import bars
from lepton_ai.cli.extras import need
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.output import note, plural, print_json
from lepton_ai.cli.server import Database, Folder, made_in
from lepton_ai.errors import UsageError

if TYPE_CHECKING:
    from lepton_ai.server.settings import ServerSettings


@examples("lepton server reindex team", "lepton server reindex team --only ada/digits")
def reindex(
    folder: Folder = ".",
    database: Database = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="OWNER/NAME", help="This repository (default: all).", show_default=False
        ),
    ] = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Make the search index of repositories anew.

    For lists and searches that lack versions. The server may go on meanwhile; a search in a repository whose turn it is
    finds only a part. It may be repeated.
    """
    settings_of, reindexing = (
        need("lepton_ai.server.settings", "server"),
        need("lepton_ai.server.reindexing", "server"),
    )
    settings: ServerSettings = settings_of.read(made_in(folder), flags={"database": database})
    owner, slash, name = (only or "").partition("/")
    if only is not None and not (owner and slash and name):
        raise UsageError(f"{only!r} names no repository", hint="--only OWNER/NAME")
    with bars(quiet=as_json) as progress:
        counted: dict[str, int] = reindexing.reindex(settings, (owner, name) if only else None, progress)
    if as_json:
        print_json({"repositories": [{"name": name, "versions": found} for name, found in counted.items()]})
        return
    for where, versions in counted.items():
        note(f"{where}: {plural(versions, 'version')}")
    note(f"made the index anew; repositories: {len(counted)}")
