"""Moves of branches, tags, aliases and versions, told with the versions that they moved between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from lepton_ai.errors import NotFound
from lepton_ai.history import listing
from lepton_ai.history.record import parse_record
from lepton_ai.repository import ModelRepository
from lepton_ai.types import LogLine, Record

KINDS = ("branch", "tag", "alias")
FIRST_TRY = 4
"""Log lines that are read for every move that is asked for, to begin with: a save writes two."""


def moves(
    repository: ModelRepository, name: str | None, branch: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """The newest ``limit`` moves, newest first: of what is called ``name``, of a branch, or all.

    Raises:
        NotFound: nothing was ever called ``name``.
    """
    key = _key(repository, name, branch)
    read = None if limit is None else FIRST_TRY * limit + 1
    while True:
        lines = repository.log(key or "", limit=read)
        complete = read is None or len(lines) < read
        found = list(_of_key(lines, key) if key else _without_echoes(lines, complete=complete))
        if complete or (limit is not None and len(found) >= limit):
            break
        read = read and read * FIRST_TRY
    kept = found[:limit]
    records = _records(repository, kept)
    return [_told(line, records) for line in kept]


def move_page(
    repository: ModelRepository, ref: str, *, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """``limit`` moves at most, newest first, before the one called ``before``; and where the next page begins.

    ``ref`` is one ("branch/main"), a kind of them ("alias/"), or "" for all, without what only echoes another move.
    """
    entries = repository.lines.history.log(ref, before=before, limit=limit)
    more = entries[-1].number if len(entries) == limit else None
    lines = [listing.log_line(entry) for entry in entries]
    one = "/" in ref and not ref.endswith("/")
    kept = list(_of_key(lines, ref) if one else _without_echoes(lines, complete=True))
    records = _records(repository, kept)
    return [_told(line, records) for line in kept], more


def _key(repository: ModelRepository, name: str | None, branch: str | None) -> str | None:
    """The key of the ref that is meant; None for all."""
    if branch is not None and name is None:
        repository.lines.branch(branch, deleted=True)
        return f"branch/{branch}"
    if name is None:
        return None
    keys = [f"{kind}/{name}" for kind in KINDS]
    alive = repository.lines.history.get(keys)
    for key in keys:
        if key in alive or any(line.ref == key for line in repository.log(key)):
            return key
    try:
        return repository.lines.resolve(name, branch or repository.current_branch, deleted=True).key
    except NotFound as missing:
        raise NotFound(f"no branch, tag, alias or version is called {name!r}", hint=missing.hint) from missing


def _of_key(lines: Iterable[LogLine], key: str) -> Iterator[LogLine]:
    """The log's prefix "alias/prod" also finds "alias/production"."""
    return (line for line in lines if line.ref == key)


def _without_echoes(lines: list[LogLine], *, complete: bool) -> Iterator[LogLine]:
    """Without the moves of versions that only say what the branch's move in the same commit says.

    The last commit is left out unless the lines are ``complete``: part of it may be missing.
    """
    commits = [list(group) for _, group in groupby(lines, key=lambda line: (line.at, line.actor, line.act))]
    for commit in commits if complete else commits[:-1]:
        shown = {line.after for line in commit if line.ref.startswith("branch/")}
        yield from (line for line in commit if not (line.ref.startswith("version/") and line.after in shown))


def _records(repository: ModelRepository, lines: list[LogLine]) -> dict[str, Record]:
    ids = {bytes.fromhex(i) for line in lines for i in (line.before, line.after) if i is not None}
    rows = repository.lines.history.versions(sorted(ids))
    return {row.id.hex(): parse_record(row.record, row.id) for row in rows.values()}


def _told(line: LogLine, records: dict[str, Record]) -> dict[str, Any]:
    """A move as JSON has it: the log's line, and the version that it is about."""
    about = line.after or line.before
    record = records.get(about or "")
    before = records.get(line.before or "")
    return {
        **msgspec.to_builtins(line),
        "before_name": before.name if before else None,
        "id": about,
        "name": record.name if record else None,
        "branch": record.branch if record else None,
        "author": record.author if record else None,
        "message": record.message if record else None,
        "operation": record.operation.kind if record else None,
    }
