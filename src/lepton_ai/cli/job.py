"""``lepton job`` and its commands: longer work that a server does by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer

from lepton_ai import settings
from lepton_ai.cli import complete, exits, inputs
from lepton_ai.cli.bars import bars
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.insecure import Insecure, insecure_too
from lepton_ai.cli.options import check_limit
from lepton_ai.cli.output import (
    Column,
    human_size,
    local_time,
    note,
    print_facts,
    print_json,
    print_table,
    say,
)
from lepton_ai.cli.reaching import reached
from lepton_ai.cli.session import opened
from lepton_ai.cli.table import Entry
from lepton_ai.client import address, remotes
from lepton_ai.client.address import Address
from lepton_ai.client.jobs import Begun, Job, Jobs
from lepton_ai.errors import UsageError
from lepton_ai.history import home as homes
from lepton_ai.progress import Progress

SECTION = "Jobs"
ENTRIES = (
    Entry("list", "job:list_", "List the jobs of a repository on a server.", SECTION),
    Entry("show", "job:show", "Show how far a job is, or what came of it.", SECTION),
    Entry("begin", "job:begin", "Let the server do longer work.", SECTION),
    Entry("cancel", "job:cancel", "Break a job off at its next step.", SECTION),
)
COLUMNS = (
    Column("Id", style="bold"),
    Column("Kind"),
    Column("State"),
    Column("Far", right=True),
    Column("By"),
    Column("Begun At"),
    Column("Ended At"),
)
KINDS = ("gc", "verify", "repack", "stats")
Of = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="NAME",
        help="Of the repository that this remote is (default: the only one, or origin).",
        autocompletion=complete.remotes,
        show_default=False,
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list has it.", show_default=False)]


@examples("lepton job", "lepton job begin verify --wait", "lepton job cancel 5b2e97c1d04a4f7e8a6b1c3d")
def job(
    context: typer.Context, remote: Of = None, insecure: Insecure = False, repo: Repo = None, as_json: Json = False
) -> None:  # fmt: skip
    """List, show, begin and cancel longer work that a server does by itself.

    In the repository at --repo https://HOST/OWNER/NAME, or the one that a remote of this one is. Without a command jobs
    are listed.
    """
    if context.invoked_subcommand is None:
        list_(remote, 20, insecure, repo, as_json)


@examples("lepton job list", "lepton job list --repo https://models.example.com/ada/digits --json")
def list_(
    remote: Of = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="The newest N.")] = 20,
    insecure: Insecure = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List the jobs of a repository on a server, the newest first."""
    check_limit(limit)
    with _jobs(repo, remote, insecure=insecure) as (of, jobs):
        found = list(jobs.every(limit))
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
    elif found:
        print_table(COLUMNS, [_row(one) for one in found])
    else:
        note(f"{of} has no jobs; lepton job begin verify begins one")


@examples("lepton job show 5b2e97c1d04a4f7e8a6b1c3d", "lepton job show 5b2e97c1d04a4f7e8a6b1c3d --json")
def show(
    id_: Id, remote: Of = None, insecure: Insecure = False, repo: Repo = None, as_json: Json = False
) -> int:
    """Show how far a job is, or what came of it.

    Exits with 1 when it did not end well, or found damage.
    """
    with _jobs(repo, remote, insecure=insecure) as (_, jobs):
        found = jobs.find(id_)
    return _told(found, as_json=as_json)


@examples(
    "lepton job begin verify --wait",
    "lepton job begin gc --dry-run",
    "lepton job begin gc --grace 30d --repo https://models.example.com/ada/digits",
)
def begin(
    kind: Annotated[
        str, typer.Argument(metavar="|".join(KINDS), help="What is to be done.", show_default=False)
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="gc and repack: only say what would be done.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="verify: look at the structure only.")] = False,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="gc: how long deleted versions stay restorable (default: 14d).",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over.")] = False,
    remote: Of = None,
    insecure: Insecure = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Let the server do longer work, in a repository that it has the key of.

    verify takes who may write, gc and repack an administrator. With --wait it exits with 1 when the job did not end
    well, or found damage; Ctrl-C ends the waiting, not the job.
    """
    asked = _asked(kind, dry_run=dry_run, fast=fast, grace=grace)
    with _jobs(repo, remote, insecure=insecure) as (_, jobs), bars(quiet=as_json) as progress:
        found = jobs.begin(asked)
        if wait:
            if not as_json:
                note(f"{found.kind} is job {found.id}")
            found = jobs.ended(found, _Seen(progress).see)
    if wait:
        return _told(found, as_json=as_json)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        say(f"began {found.kind}, job {found.id}; lepton job show {found.id} tells how far it is")
    return exits.OK


@examples("lepton job cancel 5b2e97c1d04a4f7e8a6b1c3d")
def cancel(
    id_: Id, remote: Of = None, insecure: Insecure = False, repo: Repo = None, as_json: Json = False
) -> None:
    """Break a job off at its next step.

    What it did so far is whole, and stays. One's own, or, for administrators, anybody's.
    """
    with _jobs(repo, remote, insecure=insecure) as (_, jobs):
        found = jobs.cancel(id_)
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif found.state == "stopping":
        note(f"{found.kind} {found.id} ends at its next step")
    else:
        note(f"{found.kind} {found.id} is over already: {found.state}")


@contextmanager
def _jobs(repo: str | None, remote: str | None, *, insecure: bool) -> Iterator[tuple[Address, Jobs]]:
    """The repository on a server that is meant, and its jobs."""
    insecure_too(insecure)
    of = _meant(repo, remote)
    with reached(of.server) as connection:
        yield of, Jobs(connection, of)


def _meant(repo: str | None, remote: str | None) -> Address:
    named = repo or settings.read().repo
    if named is not None and homes.is_address(named):
        return address.parse(str(named))
    with opened(repo) as repository:
        found = remotes.find(repository.home.history, remote)
    if not homes.is_address(found.url):
        raise UsageError(
            f"{found.name} is a folder, {found.url}: only a server has jobs",
            hint="lepton gc, verify, repack and stats work in a folder by themselves",
        )
    return address.parse(found.url)


def _asked(kind: str, *, dry_run: bool, fast: bool, grace: str | None) -> Begun:
    """What is asked for.

    Raises:
        UsageError: there is no such work, or an option is of another one.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no work for a server", hint=", ".join(KINDS))
    said = {"--dry-run": dry_run, "--fast": fast, "--grace": grace is not None}
    of = {"--dry-run": ("gc", "repack"), "--fast": ("verify",), "--grace": ("gc",)}
    for option, is_said in said.items():
        if is_said and kind not in of[option]:
            raise UsageError(f"{option} is for {' and '.join(of[option])}, not for {kind}")
    period = None if grace is None else inputs.seconds(grace)
    return Begun(kind, dry_run or None, fast or None, period)


class _Seen:
    """Shows how far a job is."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._task, self._done = progress, "", 0

    def see(self, found: Job) -> None:
        """As it is now."""
        if found.task != self._task or found.done < self._done:
            self._progress.start(found.task, found.total)
            self._task, self._done = found.task, 0
        self._progress.advance(found.done - self._done)
        self._done = found.done


def _row(one: Job) -> tuple[str, ...]:
    ended = local_time(one.ended_at) if one.ended_at else ""
    return one.id, one.kind, one.state, _far(one), one.started_by, local_time(one.started_at), ended


def _far(one: Job) -> str:
    return f"{min(100, 100 * one.done // one.total)} %" if one.total and not one.ended_at else ""


def _told(one: Job, *, as_json: bool) -> int:
    """Show a job; the exit code."""
    if as_json:
        print_json(msgspec.to_builtins(one))
    else:
        problem = one.problem or {}
        said = str(problem.get("detail", "")) + (f" ({problem['hint']})" if problem.get("hint") else "")
        total = f" of {human_size(one.total)}" if one.total else ""
        print_facts(
            [
                ("Job", one.id),
                ("Kind", one.kind),
                ("State", one.state),
                ("Task", f"{one.task}, {human_size(one.done)}{total}" if one.task else ""),
                ("By", one.started_by),
                ("Begun at", local_time(one.started_at)),
                ("Ended at", local_time(one.ended_at) if one.ended_at else ""),
                ("Problem", said),
                *_facts(one.result or {}),
            ]
        )
    sound = one.state in ("running", "stopping", "done") and (one.result or {}).get("clean") is not False
    return exits.OK if sound else exits.DIFFERENT


def _facts(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What came of it: numbers and short texts; lists are counted (--json has all of it)."""
    for name, value in result.items():
        title = name.replace("_", " ").capitalize()
        if isinstance(value, bool):
            yield title, "yes" if value else "no"
        elif isinstance(value, int) and "bytes" in name:
            yield title, human_size(value)
        elif isinstance(value, list):
            yield title, str(len(value))
        elif not isinstance(value, dict) and value is not None:
            yield title, f"{value:.6g}" if isinstance(value, float) else str(value)


GROUP = Group(ENTRIES, job)
