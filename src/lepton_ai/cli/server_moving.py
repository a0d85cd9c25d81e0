"""``lepton server migrate-data``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lepton_ai.cli.bars import bars
from lepton_ai.cli.extras import need
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.output import note, print_json
from lepton_ai.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lepton_ai.server.moving import Moved
    from lepton_ai.server.settings import ServerSettings


@examples(
    "lepton server migrate-data --from team --to-database postgresql://lepton@db/lepton --to-objects s3://models",
    "LEPTON_AI_SERVER_DATABASE=mysql://… lepton server migrate-data --from team --to-objects s3://models",
)
def migrate_data(
    folder: Annotated[str, typer.Option("--from", metavar="DIR", help="The server's folder.")] = ".",
    database: Annotated[
        str | None,
        typer.Option(
            "--to-database",
            metavar="URL",
            help="An empty database. Others see what stands here: an address with a password belongs into "
            "LEPTON_AI_SERVER_DATABASE.",
            show_default=False,
        ),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option("--to-objects", metavar="URL", help="s3://… gs://… az://… file://…", show_default=False),
    ] = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Move an embedded server's data, to a database server and an object store.

    Stop the server first. Its folder stays as it is. Every pack is read back and compared with its hash, every table
    row by row; only then may the new database be used. Broken off, the same command goes on where it was.
    """
    moving, settings_of = (
        need("lepton_ai.server.moving", "server"),
        need("lepton_ai.server.settings", "server"),
    )
    place = Path(folder).expanduser().absolute()
    if not need("lepton_ai.server.founding", "server").exists(place):
        raise NotFound(f"there is no server in {place}", hint="name its folder with --from DIR")
    database = database or os.environ.get("LEPTON_AI_SERVER_DATABASE")
    objects = objects or os.environ.get("LEPTON_AI_SERVER_OBJECTS")
    if not database or not objects:
        raise UsageError("where to?", hint="give --to-database URL and --to-objects URL")
    settings: ServerSettings = settings_of.read(place, environment={})
    with bars(quiet=as_json) as progress:
        moved: Moved = moving.move(settings, database, objects, progress)
    rows = sum(table.rows for table in moved.tables)
    if as_json:
        print_json(moved)
        return
    note(
        f"moved {moved.packs} packs ({moved.bytes} bytes) and {rows} rows, all compared; {place} is as it was"
    )
    note(f"start it with --database and --objects of the new places, and with {settings.key_file}")
