"""``lepton server`` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lepton_ai.cli import exits
from lepton_ai.cli.asking import password
from lepton_ai.cli.extras import need
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.output import note, print_json, say
from lepton_ai.cli.table import Entry
from lepton_ai.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lepton_ai.server.settings import ServerSettings

SECTION = "A server for the team"
ENTRIES = (
    Entry("init", "server:init", "Make a server, with its first administrator.", SECTION),
    Entry("start", "server:start", "Serve until it is stopped.", SECTION),
    Entry("migrate", "server:migrate", "Bring the database to the newest form.", SECTION),
    Entry("reindex", "server_reindex:reindex", "Make the search index of repositories anew.", SECTION),
    Entry("migrate-data", "server_moving:migrate_data", "Move an embedded server's data.", SECTION),
)

Folder = Annotated[
    str, typer.Argument(metavar="DIR", help="The server's folder (default: this one).", show_default=False)
]
Stdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, show_default=False)


Database = Annotated[
    str | None, _option("--database", "URL", "postgresql://… or mysql://… (default: SQLite in the folder).")
]
Objects = Annotated[
    str | None, _option("--objects", "URL", "s3://… gs://… az://… file://… (default: in the folder).")
]
Host = Annotated[str | None, _option("--host", "HOST", "Where to listen (default: 127.0.0.1).")]
Port = Annotated[int | None, _option("--port", "PORT", "The port (default: 8750; 0: any that is free).")]
TlsCert = Annotated[str | None, _option("--tls-cert", "FILE", "The certificate (PEM, with its chain).")]
TlsKey = Annotated[str | None, _option("--tls-key", "FILE", "Its key (PEM).")]


@examples(
    "lepton server init team --admin ana",
    "lepton server start team",
    "lepton server start team --host 0.0.0.0 --tls-cert host.pem --tls-key host.key --workers 4",
)
def server(context: typer.Context, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001  (handed on)
    """Run a server for the team: the same verbs over HTTPS.

    Everything is in one folder until you say otherwise: a database (SQLite), the models, the server's key. With
    --database and --objects several servers beside each other work on the same ones.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(exits.USAGE)


@examples(
    "lepton server init team --admin ana",
    "cat first-password | lepton server init team --admin ana --password-stdin",
    "lepton server init --admin ana --database postgresql://db/lepton --objects s3://models",
)
def init(
    folder: Folder = ".",
    admin: Annotated[str, typer.Option("--admin", metavar="NAME", help="The first administrator.")] = "",
    password_stdin: Stdin = False,
    database: Database = None,
    objects: Objects = None,
    host: Host = None,
    port: Port = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Make a server, with its first administrator.

    The administrator's password is chosen by you: there is no default one. What is given here is kept in
    DIR/server.json, which you may edit. Keep DIR/keys/server.key safe: it opens the repositories.
    """
    founding, settings_of = (
        need("lepton_ai.server.founding", "server"),
        need("lepton_ai.server.settings", "server"),
    )
    place = Path(folder).expanduser().absolute()
    given = _given(database, objects, host, port, tls_cert, tls_key)
    settings: ServerSettings = settings_of.read(place, flags=given)
    if not admin:
        raise UsageError("who is the administrator?", hint="give --admin NAME")
    founding.refuse(place)  # before a password is asked for
    founding.found(settings, admin, password(stdin=password_stdin, twice=True))
    if as_json:
        print_json({"path": str(place), "admin": admin, "key": str(settings.key_file)})
        return
    note(f"made a server in {place}, administrator {admin}")
    note(f"keep a copy of {settings.key_file}: without it nobody opens what the server holds")
    say(f"lepton server start {folder}")


@examples(
    "lepton server start team",
    "lepton server start team --port 9000 --workers 4",
    "lepton server start team --host 0.0.0.0 --insecure --proxy-headers 10.0.0.7 --root-path /models",
)
def start(
    folder: Folder = ".",
    *,
    host: Host = None,
    port: Port = None,
    database: Database = None,
    objects: Objects = None,
    workers: Annotated[int | None, _option("--workers", "N", "How many processes (default: 1).")] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow plain HTTP beyond this machine: a proxy speaks TLS.")
    ] = False,
    proxy_headers: Annotated[
        str | None,
        _option("--proxy-headers", "ADDRESS,…", "Believe X-Forwarded-For and -Proto of these proxies."),
    ] = None,
    root_path: Annotated[
        str | None, _option("--root-path", "PATH", "Where a proxy shows the server, as /models.")
    ] = None,
    hosts: Annotated[
        str | None, _option("--hosts", "NAME,…", "The host names to answer to (default: any but from afar).")
    ] = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Serve until it is stopped (Ctrl-C, or SIGTERM).

    The address is printed once it is bound; what happens is told on stderr, a line of JSON each. When it is to stop, it
    takes no new connections and finishes what is under way.
    """
    process, settings_of = (
        need("lepton_ai.server.process", "server"),
        need("lepton_ai.server.settings", "server"),
    )
    place = made_in(folder)
    given = _given(database, objects, host, port, tls_cert, tls_key) | {
        "workers": workers,
        "insecure": insecure or None,
        "proxies": _parts(proxy_headers),
        "root_path": root_path,
        "hosts": _parts(hosts),
    }

    def announce(address: str) -> None:
        if as_json:
            print_json({"address": address})
        else:
            say(address)

    process.start(settings_of.read(place, flags=given), announce)


@examples("lepton server migrate team")
def migrate(
    folder: Folder = ".",
    database: Database = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Bring the database to the newest form.

    A copy of what was there is kept in DIR/backups before each step. Of several servers over one database, stop the old
    ones first.
    """
    founding, settings_of = (
        need("lepton_ai.server.founding", "server"),
        need("lepton_ai.server.settings", "server"),
    )
    settings: ServerSettings = settings_of.read(made_in(folder), flags={"database": database})
    founding.migrate(settings)
    if as_json:
        print_json({"migrated": True})
    else:
        note("the database is up to date")


def made_in(folder: str) -> Path:
    """The folder of a server that was made.

    Raises:
        NotFound.
    """
    place = Path(folder).expanduser().absolute()
    if not need("lepton_ai.server.founding", "server").exists(place):
        raise NotFound(f"there is no server in {place}", hint=f"lepton server init {folder} --admin NAME")
    return place


def _given(
    database: str | None,
    objects: str | None,
    host: str | None,
    port: int | None,
    tls_cert: str | None,
    tls_key: str | None,
) -> dict[str, Any]:
    files = {"tls_cert": tls_cert, "tls_key": tls_key}
    absolute = {name: str(Path(file).expanduser().absolute()) for name, file in files.items() if file}
    return {"database": database, "objects": objects, "host": host, "port": port} | absolute


def _parts(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


GROUP = Group(ENTRIES, server)
