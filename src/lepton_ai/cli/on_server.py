"""``lepton remote repositories`` and ``restore``: what a server has, and what was removed there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from lepton_ai import wire
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.options import check_limit
from lepton_ai.cli.output import Column, local_time, note, print_json, print_table
from lepton_ai.cli.reaching import reached
from lepton_ai.errors import NotFound
from lepton_ai.later import Later

if TYPE_CHECKING:
    from lepton_ai.client import address
    from lepton_ai.client.connection import Connection
else:
    address = Later("lepton_ai.client.address")

PAGE = 200
COLUMNS = (
    Column("Repository", style="bold"),
    Column("Encrypted"),
    Column("Key"),
    Column("Made At"),
    Column("Description", wrap=True),
)
REMOVED = (
    Column("Repository", style="bold"),
    Column("Removed At"),
    Column("Kept Until"),
    Column("Description", wrap=True),
)


@examples(
    "lepton remote repositories",
    "lepton remote repositories https://models.example.com --owner ada --json",
    "lepton remote repositories --removed",
)
def repositories(
    server: Annotated[
        str | None,
        typer.Argument(
            metavar="URL", help="The server (default: the only one you are logged in to).", show_default=False
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="NAME", help="Only those of one owner.", show_default=False),
    ] = None,
    removed: Annotated[
        bool, typer.Option("--removed", help="Those that were removed and can be restored (administrators).")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="Only the first N (default: all).", show_default=False),
    ] = None,
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """List the repositories of a server, by owner and name.

    Key says who holds a repository's key: the server, or clients alone.
    """
    insecure_too(insecure)
    check_limit(limit)
    with reached(server, "lepton remote repositories https://HOST") as connection:
        if removed:
            gone = [one for one in _removed(connection) if owner in (None, one.owner)][:limit]
            _tell_removed(connection.server, gone, as_json=as_json)
            return
        found = list(islice(_all(connection, owner, limit), limit))
        _tell(connection.server, found, as_json=as_json)


@examples("lepton remote restore https://models.example.com/ada/digits")
def restore(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="https://HOST/OWNER/NAME, as it was.", show_default=False)
    ],
    insecure: Insecure = False,
    repo: Repo = None,  # noqa: ARG001  (for every command)
    as_json: Json = False,
) -> None:
    """Bring a repository back that was removed from a server.

    With all that it had; for administrators, within 7 days. Of several that had the name, the one removed last.
    """
    insecure_too(insecure)
    meant = address.parse(url)
    with reached(meant.server) as connection:
        gone = [one for one in _removed(connection) if (one.owner, one.name) == (meant.owner, meant.name)]
        if not gone:
            raise NotFound(
                f"no repository {meant.owner}/{meant.name} was removed there",
                hint=f"lepton remote repositories {meant.server} --removed",
            )
        last = max(gone, key=lambda one: one.removed_at)
        path = f"/removed-repositories/{last.number}/restore"
        back: wire.RepositoryInfo = connection.call("POST", path, None, wire.RepositoryInfo)
    if as_json:
        print_json(_plain(meant.server, back))
    else:
        note(f"{meant} is back")


def _all(connection: Connection, owner: str | None, limit: int | None) -> Iterator[wire.RepositoryInfo]:
    query = {"limit": str(PAGE if limit is None else min(PAGE, limit))} | ({"owner": owner} if owner else {})
    while True:
        page: wire.Repositories = connection.call(
            "GET", "/repositories", None, wire.Repositories, query=query
        )
        yield from page.repositories
        if page.next is None:
            return
        query |= {"after": page.next}


def _removed(connection: Connection) -> Iterator[wire.RemovedRepository]:
    query: dict[str, str] = {}
    while True:
        page: wire.RemovedRepositories = connection.call(
            "GET", "/removed-repositories", None, wire.RemovedRepositories, query=query
        )
        yield from page.removed
        if page.next is None:
            return
        query = {"after": page.next}


def _tell(server: str, found: list[wire.RepositoryInfo], *, as_json: bool) -> None:
    if as_json:
        print_json([_plain(server, one) for one in found])
    elif found:
        print_table(COLUMNS, [_row(one) for one in found])
    else:
        note(f"{server} has no repositories yet; lepton push makes one")


def _tell_removed(server: str, found: list[wire.RemovedRepository], *, as_json: bool) -> None:
    if as_json:
        print_json([msgspec.to_builtins(one) | {"url": f"{server}/{one.owner}/{one.name}"} for one in found])
    elif found:
        times = ((local_time(one.removed_at), local_time(one.kept_until)) for one in found)
        rows = [(f"{o.owner}/{o.name}", *at, o.description) for o, at in zip(found, times, strict=True)]
        print_table(REMOVED, rows)
    else:
        note(f"nothing that was removed from {server} can be restored")


def _row(one: wire.RepositoryInfo) -> tuple[str, ...]:
    encrypted, key = ("yes", "server" if one.readable else "clients") if one.encrypted else ("no", "")
    return f"{one.owner}/{one.name}", encrypted, key, local_time(one.created_at), one.description


def _plain(server: str, one: wire.RepositoryInfo) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(one)
    del told["etag"]
    return told | {"url": f"{server}/{one.owner}/{one.name}"}
