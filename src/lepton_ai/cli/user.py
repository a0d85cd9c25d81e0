"""``lepton user`` and its commands: the people of a server, in its folder or over the network."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote

import msgspec
import typer

from lepton_ai import wire
from lepton_ai.cli.asking import password
from lepton_ai.cli.extras import need
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.output import Column, local_time, note, print_json, print_table
from lepton_ai.cli.reaching import reached
from lepton_ai.cli.server import Stdin
from lepton_ai.cli.table import Entry
from lepton_ai.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = "People"
ENTRIES = (
    Entry("list", "user:list_", "List users.", SECTION),
    Entry("add", "user:add", "Add a user.", SECTION),
    Entry("deactivate", "user:deactivate", "Keep a user out; the name stays taken.", SECTION),
    Entry("activate", "user:activate", "Let a user in again.", SECTION),
    Entry("password", "user:set_password", "Set a user's password, or change your own.", SECTION),
    Entry("unlock", "user:unlock", "Let a user who failed to log in try again at once.", SECTION),
)
COLUMNS = (
    Column("Name", style="bold"),
    Column("Administrator"),
    Column("Active"),
    Column("Added At"),
    Column("By"),
)

Where = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="DIR|URL",
        help="The server's folder, or its address (default: this folder, else the server you are logged in to).",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


class People(Protocol):
    """The people of a server, wherever it is."""

    def all(self) -> list[wire.User]:
        """Everybody, by name."""

    def add(self, new: wire.NewUser) -> wire.User:
        """Add one."""

    def change(self, name: str, change: wire.UserChange) -> wire.User:
        """Change one."""

    def set_password(self, name: str, new: str) -> None:
        """Set a password."""

    def unlock(self, name: str) -> None:
        """Forget failed logins."""


@examples(
    "lepton user", "cat first-password | lepton user add bob --password-stdin", "lepton user deactivate bob"
)
def user(context: typer.Context, server: Where = None, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """List, add and keep out users of a server.

    In the server's folder it needs nothing else; over the network you have to be logged in as an administrator. Without
    a command the users are listed.
    """
    if context.invoked_subcommand is None:
        _list(server, as_json=as_json)


@examples("lepton user list", "lepton user list --server https://models.example.com --json")
def list_(server: Where = None, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """List users, deactivated ones too."""
    _list(server, as_json=as_json)


@examples("lepton user add bob", "lepton user add eve --admin --password-stdin --server team")
def add(
    name: Name,
    password_stdin: Stdin = False,
    admin: Annotated[bool, typer.Option("--admin", help="Make the user an administrator.")] = False,
    server: Where = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Add a user, with a first password that the user is to change."""
    with _people(server) as people:
        first = password(stdin=password_stdin, twice=True, whose=name)
        _tell(people.add(wire.NewUser(name, first, admin)), "added", as_json=as_json)


@examples("lepton user deactivate bob")
def deactivate(name: Name, server: Where = None, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """Keep a user out; the name stays taken.

    No login any more; tokens and sessions stop at once. What the user did stays.
    """
    with _people(server) as people:
        _tell(people.change(name, wire.UserChange(active=False)), "deactivated", as_json=as_json)


@examples("lepton user activate bob")
def activate(name: Name, server: Where = None, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """Let a user in again, with the same password."""
    with _people(server) as people:
        _tell(people.change(name, wire.UserChange(active=True)), "activated", as_json=as_json)


@examples("lepton user password", "lepton user password bob --server team")
def set_password(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The user (default: you).", show_default=False)
    ] = None,
    password_stdin: Stdin = False,
    server: Where = None,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Set a user's password, or change your own.

    Your own takes the old one too; from stdin it is the first line, the new one the second. All other sessions of the
    user end; tokens stay.
    """
    if name is None:
        _change_own(server, stdin=password_stdin, as_json=as_json)
        return
    with _people(server) as people:
        people.set_password(name, password(stdin=password_stdin, twice=True, whose=name))
    _done(name, "has a new password", as_json=as_json)


def _change_own(server: str | None, *, stdin: bool, as_json: bool) -> None:
    if server is not None and "://" not in server:
        raise UsageError("whose password?", hint="in a server's folder name the user")
    with reached(server) as connection:
        me: wire.Me = connection.call("GET", "/me", None, wire.Me)
        old = password(stdin=stdin, twice=False, whose=f"{me.user}, the old one")
        new = password(stdin=stdin, twice=True, whose=f"{me.user}, the new one")
        connection.call("PUT", "/me/password", wire.NewPassword(new, old), repeat=False)
    _done(me.user, "has a new password", as_json=as_json)


@examples("lepton user unlock bob")
def unlock(name: Name, server: Where = None, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """Let a user who failed to log in try again at once."""
    with _people(server) as people:
        people.unlock(name)
    _done(name, "may try again", as_json=as_json)


def _list(server: str | None, *, as_json: bool) -> None:
    with _people(server) as people:
        found = people.all()
    if as_json:
        print_json([_plain(one) for one in found])
        return
    print_table(COLUMNS, [_row(one) for one in found])


def _row(one: wire.User) -> tuple[str, ...]:
    added = local_time(_plain(one)["created_at"])
    return one.name, "yes" if one.admin else "", "yes" if one.active else "no", added, one.created_by


def _plain(one: wire.User) -> dict[str, Any]:
    at = (
        datetime.fromtimestamp(one.created_at / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )
    told: dict[str, Any] = msgspec.to_builtins(one)
    return {name: value for name, value in told.items() if name != "etag"} | {"created_at": at}


def _tell(one: wire.User, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(one))
    else:
        note(f"{what} {one.name}" + (", an administrator" if one.admin else ""))


def _done(name: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "done": True})
    else:
        note(f"{name} {what}")


@contextmanager
def _people(server: str | None) -> Iterator[People]:
    """The people of the server that is meant.

    Raises:
        NotFound: there is no server in the folder. Unauthenticated: not logged in. UsageError: it has to be named.
    """
    if server is not None and "://" in server:
        with reached(server) as connection:
            yield _Far(connection)
        return
    if server is None and not Path("server.json").exists():
        with reached(None, "--server DIR, or --server https://HOST") as connection:
            yield _Far(connection)
        return
    founding, local = (
        need("lepton_ai.server.founding", "server"),
        need("lepton_ai.server.local_people", "server"),
    )
    place = Path(server or ".").expanduser().absolute()
    if not founding.exists(place):
        raise NotFound(f"there is no server in {place}", hint="give --server DIR or --server https://…")
    with local.opened(place) as people:
        yield people


class _Far:
    """People over the network."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def all(self) -> list[wire.User]:
        """Everybody, page by page."""
        found: list[wire.User] = []
        after: dict[str, str] = {}
        while True:
            page: wire.Users = self._connection.call("GET", "/users", None, wire.Users, query=after)
            found += page.users
            if page.next is None:
                return found
            after = {"after": page.next}

    def add(self, new: wire.NewUser) -> wire.User:
        """Add one."""
        added: wire.User = self._connection.call("POST", "/users", new, wire.User)
        return added

    def change(self, name: str, change: wire.UserChange) -> wire.User:
        """Change one."""
        changed: wire.User = self._connection.call("PATCH", f"/users/{quote(name, '')}", change, wire.User)
        return changed

    def set_password(self, name: str, new: str) -> None:
        """Set a password."""
        self._connection.call("PUT", f"/users/{quote(name, '')}/password", wire.NewPassword(new))

    def unlock(self, name: str) -> None:
        """Forget failed logins."""
        self._connection.call("POST", f"/users/{quote(name, '')}/unlock")


GROUP = Group(ENTRIES, user)
