"""``lepton login`` and ``lepton logout``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from lepton_ai import wire
from lepton_ai.cli.asking import password
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.output import note, print_json
from lepton_ai.client import address
from lepton_ai.client import login as logins
from lepton_ai.errors import UsageError

Url = Annotated[str, typer.Argument(metavar="URL", help="The server's address.", show_default=False)]


@examples(
    "lepton login https://models.example.com --user ada",
    "cat password | lepton login https://models.example.com --user ada --password-stdin",
    "cat token | lepton login https://models.example.com --token-stdin",
)
def login(
    url: Url,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Your name there.", show_default=False)
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read a token from the first line of stdin instead.")
    ] = False,
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Log in to a server.

    The server gives a token for the password; the token is kept in your config folder, or in the system's keyring, and
    ends after 90 days. The password is not kept.
    """
    insecure_too(insecure)
    server = address.server(url)
    if token_stdin:
        if user or password_stdin:
            raise UsageError(
                "a token says by itself who you are", hint="leave --user and --password-stdin out"
            )
        me = logins.by_token(server, _line())
    else:
        name = user or getpass.getuser()
        me = logins.by_password(server, name, password(stdin=password_stdin, twice=False, whose=name))
    _tell(server, me, as_json=as_json)


@examples("lepton logout https://models.example.com")
def logout(url: Url, insecure: Insecure = False, repo: Repo = None, as_json: Json = False) -> None:  # noqa: ARG001
    """Log out of a server: the token ends, and is forgotten here."""
    insecure_too(insecure)
    server = address.server(url)
    logins.out(server)
    if as_json:
        print_json({"server": server})
    else:
        note(f"logged out of {server}")


def _line() -> str:
    token = sys.stdin.readline().strip()
    if not token:
        raise UsageError("there is no token on stdin", hint="cat FILE | lepton login URL --token-stdin")
    return token


def _tell(server: str, me: wire.Me, *, as_json: bool) -> None:
    if as_json:
        print_json({"server": server, "user": me.user, "admin": me.admin, "scopes": list(me.scopes)})
    else:
        note(f"logged in to {server} as {me.user}" + (", an administrator" if me.admin else ""))
