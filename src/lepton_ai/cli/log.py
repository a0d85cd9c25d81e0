"""``lepton log``, as a list of moves or as a graph of versions."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from lepton_ai.cli import complete
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, LimitOption, check_limit
from lepton_ai.cli.output import (
    ID_DIGITS,
    Column,
    colours,
    local_time,
    note,
    print_json,
    print_table,
    printable,
    say,
)
from lepton_ai.cli.reminders import reminders
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.telling.graph import PLAIN, draw
from lepton_ai.telling.lineage import Drawn, lineage
from lepton_ai.telling.moves import moves
from lepton_ai.types import Record

COLUMNS = (
    Column("At"),
    Column("By", wrap=True),
    Column("Act"),
    Column("What", style="cyan"),
    Column("Version", style="bold"),
    Column("Id", style="bright_black"),
    Column("Message", wrap=True),
)


@examples(
    "lepton log", "lepton log --graph", "lepton log production --limit 5", "lepton log -b feature --json"
)
def log(
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Only moves of this branch, tag, alias or version.",
            autocompletion=complete.versions,
            show_default=False,
        ),
    ] = None,
    branch: BranchOption = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw versions with branches, merges and rollbacks.")
    ] = False,
    limit: LimitOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Show who moved what, when and why.

    Every move of a branch, tag, alias or version, the newest first. --graph draws the versions instead, as lanes that
    part and join: ● is a version, ◆ a merge, ↺ a rollback, ○ a deleted version; [main] stands where a branch, tag or
    alias is.
    """
    check_limit(limit)
    if graph and ref is not None:
        raise UsageError("--graph draws branches, not one name", hint="lepton log --graph -b BRANCH")
    with opened(repo, as_json=as_json) as repository:
        drawn = lineage(repository, branch, limit) if graph else []
        told = [] if graph else moves(repository, ref, branch, limit)
        waits = [] if as_json else reminders(repository)
    if as_json:
        print_json([_graph_json(each) for each in drawn] if graph else told)
    elif not drawn and not told:
        note("there are no versions yet; lepton save FILE makes one" if graph else "nothing has moved yet")
    elif graph:
        _print_graph(drawn)
    else:
        print_table(COLUMNS, (_row(move) for move in told))
    for text in waits:
        note(text)


def _row(move: dict[str, Any]) -> tuple[str, ...]:
    kind, _, name = move["ref"].partition("/")
    version = move["name"] or ""
    if kind == "alias" and move["before_name"] and move["after"]:
        version = f"{move['before_name']} → {version}"
    what = kind if kind == "version" else f"{kind} {name}"
    message = move["why"] or ("" if kind != "branch" else move["message"] or "")
    digits = (move["id"] or "")[:ID_DIGITS]
    return local_time(move["at"]), move["actor"], move["act"], what, version, digits, message


def _graph_json(drawn: Drawn) -> dict[str, Any]:
    record = drawn.record
    return {
        "name": record.name,
        "id": drawn.id,
        "branch": record.branch,
        "status": drawn.status,
        "at": record.created_at,
        "author": record.author,
        "message": record.message,
        "operation": record.operation.kind,
        "source": record.operation.source,
        "parents": list(record.parents),
        "labels": list(drawn.labels),
    }


def _print_graph(drawn: list[Drawn]) -> None:
    """Print the lanes with the versions beside them; in plain letters where the terminal has no others."""
    by_id = {each.node.id: each for each in drawn}
    plain = not _can_encode("│●↺")
    console = colours()
    for line in draw(each.node for each in drawn):
        lanes = line.lanes.translate(PLAIN) if plain else line.lanes
        text = printable(_text(by_id[line.node.id])) if line.node else ""
        if console is None:
            say(f"{lanes}  {text}" if text else lanes)
        else:
            console.print(lanes, style="cyan", end="  " if text else "\n")
            if text:
                console.print(text, style="bright_black" if line.node and line.node.sign == "○" else "")


def _text(drawn: Drawn) -> str:
    record = drawn.record
    what = {"rollback": f"rollback to {drawn.source}", "merge": f"merge of {drawn.source}"}
    parts = [
        f"{record.branch}@{record.name}",
        drawn.id[:ID_DIGITS],
        local_time(record.created_at),
        record.author,
        f"[{', '.join(drawn.labels)}]" if drawn.labels else "",
        what.get(record.operation.kind, ""),
        f"({drawn.status.lower()})" if drawn.status != "Active" else "",
        "" if _says_the_same(record) else record.message,
    ]
    return "  ".join(part for part in parts if part)


def _says_the_same(record: Record) -> bool:
    """Whether the message is what a merge says when nobody says anything."""
    return record.operation.kind == "merge" and record.message == f"Merge {record.operation.detail}"


def _can_encode(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
