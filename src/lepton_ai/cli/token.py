"""``lepton token`` and its commands: one's own API tokens on a server."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from lepton_ai import wire
from lepton_ai.cli.asking import password
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.output import Column, local_time, note, print_json, print_table, say
from lepton_ai.cli.reaching import At, closing_connection, reached, server_meant, user_at
from lepton_ai.cli.server import Stdin
from lepton_ai.cli.table import Entry

SECTION = "Tokens"
ENTRIES = (
    Entry("list", "token:list_", "List your tokens.", SECTION),
    Entry("make", "token:make", "Make a token, for a program say.", SECTION),
    Entry("revoke", "token:revoke", "End a token at once.", SECTION),
)
COLUMNS = (
    Column("Id", style="bold"),
    Column("Name", wrap=True),
    Column("May"),
    Column("Made At"),
    Column("Ends At"),
    Column("Last Used At"),
)


@examples(
    "lepton token",
    "lepton token make 'nightly training' --scope read --scope write --days 30",
    "lepton token revoke 4f1c2a",
)
def token(
    context: typer.Context, server: At = None, insecure: Insecure = False, repo: Repo = None, as_json: Json = False
) -> None:  # fmt: skip
    """List, make and revoke your own tokens on a server.

    Without a command they are listed.
    """
    if context.invoked_subcommand is None:
        list_(server, insecure, repo, as_json)


@examples("lepton token list", "lepton token list --server https://models.example.com --json")
def list_(server: At = None, insecure: Insecure = False, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """List your tokens, without their secrets."""
    insecure_too(insecure)
    found: list[wire.Token] = []
    query: dict[str, str] = {}
    with reached(server) as connection:
        while True:
            page: wire.Tokens = connection.call("GET", "/tokens", None, wire.Tokens, query=query)
            found += page.tokens
            if page.next is None:
                break
            query = {"after": page.next}
    if as_json:
        print_json([_plain(one) for one in found])
    elif found:
        print_table(COLUMNS, [_row(one) for one in found])
    else:
        note("you have no tokens there")


@examples(
    "lepton token make laptop",
    "cat password | lepton token make nightly --scope read --days 7 --password-stdin",
)
def make(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Where it is used, for the list.", show_default=False)
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="read|write|admin",
            help="What it may do; may be repeated (default: read and write).",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help="Days until it ends (1 to 366).")] = 90,
    user: Annotated[
        str,
        typer.Option("--user", metavar="NAME", help="Your name there (default: as who you logged in)."),
    ] = "",
    password_stdin: Stdin = False,
    server: At = None,
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Make a token, for a program say.

    Takes your password: a token cannot make tokens. The new one is printed, this once; a program gives it as
    LEPTON_AI_TOKEN.
    """
    insecure_too(insecure)
    where = server_meant(server)
    person = user or user_at(where) or getpass.getuser()
    new = wire.NewToken(name, tuple(scope or ("read", "write")), days)
    asked = wire.TokenLogin(person, password(stdin=password_stdin, twice=False, whose=person), new)
    with closing_connection(where) as connection:
        made: wire.Token = connection.call("POST", "/login/token", asked, wire.Token)
    if as_json:
        print_json(_plain(made) | {"secret": made.secret})
        return
    note(f"made the token {made.id} for {person}; it is shown this once")
    say(made.secret or "")


@examples("lepton token revoke 4f1c2a")
def revoke(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="As the list has it.", show_default=False)
    ],
    server: At = None,
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:  # fmt: skip
    """End a token at once."""
    insecure_too(insecure)
    with reached(server) as connection:
        connection.call("DELETE", f"/tokens/{quote(id_, '')}")
    if as_json:
        print_json({"id": id_})
    else:
        note(f"{id_} has ended")


def _row(one: wire.Token) -> tuple[str, ...]:
    told = _plain(one)
    used = local_time(told["last_used_at"]) if told["last_used_at"] else "never"
    times = local_time(told["created_at"]), local_time(told["expires_at"]), used
    return one.id, one.name, ", ".join(one.scopes), *times


def _plain(one: wire.Token) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(one, name) for name in ("id", "name")} | {
        "scopes": list(one.scopes)
    }
    times = msgspec.structs.asdict(one)
    return told | {name: _time(times[name]) for name in ("created_at", "expires_at", "last_used_at")}


def _time(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    at = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


GROUP = Group(ENTRIES, token)
