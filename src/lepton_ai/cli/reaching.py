"""Which server a command speaks to, and as whom: the one that is named, else the only one we are logged in to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lepton_ai.errors import Unauthenticated, UsageError
from lepton_ai.later import Later

if TYPE_CHECKING:
    from lepton_ai.client import address, connection, credentials
else:
    address = Later("lepton_ai.client.address")
    connection = Later("lepton_ai.client.connection")
    credentials = Later("lepton_ai.client.credentials")

At = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The server's address (default: that of the only server you are logged in to).",
        show_default=False,
    ),
]


def server_meant(named: str | None, how: str = "--server https://HOST") -> str:
    """The address of the server that is meant; ``how`` it would be named.

    Raises:
        UsageError: it has to be named.
    """
    if named is not None:
        return address.server(named)
    known = list(credentials.entries())
    if credentials.meant() is not None:
        return address.server(str(credentials.meant()))
    if len(known) != 1:
        where = f"you are logged in to {', '.join(known)}" if known else "you are not logged in anywhere"
        raise UsageError(f"which server? {where}", hint=f"name it: {how}")
    return known[0]


@contextmanager
def reached(named: str | None, how: str = "--server https://HOST") -> Iterator[connection.Connection]:
    """A connection to the server that is meant, as who is logged in there; ``how`` it would be named.

    Raises:
        Unauthenticated: nobody is. UsageError: the server has to be named.
    """
    server = server_meant(named, how)
    token = credentials.token(server)
    if token is None:
        raise Unauthenticated(f"you are not logged in to {server}", hint=f"lepton login {server}")
    with closing_connection(server, token) as found:
        yield found


@contextmanager
def closing_connection(server: str, token: str | None = None) -> Iterator[connection.Connection]:
    """A connection to a server for the time of a block."""
    found = connection.Connection(server, token, hurried=token is None)
    try:
        yield found
    finally:
        found.close()


def user_at(server: str) -> str:
    """The name of who is logged in to a server; "" for nobody."""
    kept = credentials.entries().get(server)
    return "" if kept is None or credentials.given(server) else kept.user
