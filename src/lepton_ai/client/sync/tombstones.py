"""Deletions and restorations made at one end, done at the other: by the same rules, by whom and when they were done."""

from __future__ import annotations

from collections.abc import Iterable

from lepton_ai.client.sync.ends import End
from lepton_ai.errors import ConflictError, UsageError
from lepton_ai.history.changes import deletion
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.refs.contract import History, LogEntry, Ref
from lepton_ai.history.states import VersionState, decode

PAGE = 50


def pass_on(source: End, target: End, firsts: Iterable[bytes], newer_there: set[bytes]) -> list[str]:
    """Delete and restore at ``target`` what was deleted and restored at ``source``; notes about what cannot be.

    ``newer_there`` were changed at the target too: there the later of both acts stands.
    """
    asked = sorted(firsts)
    ours, theirs = source.lines.states(asked), target.lines.states(asked)
    notes = []
    for first in asked:
        if first not in ours or first not in theirs:
            continue
        own, other = ours[first][1], theirs[first][1]
        if (own.deleted is None) == (other.deleted is None) or other.purged_at is not None:
            continue
        act = _act(source.history, first)
        if first in newer_there and _when(target.history, first) >= act.at:
            continue
        try:
            _do(target, first, own, act)
        except (UsageError, ConflictError) as problem:
            notes.append(f"{'deleted' if own.deleted else 'restored'} in {source.home.named} only: {problem}")
    return notes


def _do(target: End, first: bytes, state: VersionState, act: Act) -> None:
    if state.deleted is not None:
        attempt(target.history, lambda: deletion.delete(target.lines, first, act))
    else:
        attempt(target.history, lambda: deletion.restore(target.lines, target.lines.version(first), act))


def _act(history: History, first: bytes) -> Act:
    """Who deleted or restored a version last, when and why."""
    entry = _flipped(history, first)
    return Act(entry.actor, entry.at, entry.why) if entry is not None else Act("", 0)


def _when(history: History, first: bytes) -> int:
    entry = _flipped(history, first)
    return entry.at if entry is not None else 0


def _flipped(history: History, first: bytes) -> LogEntry | None:
    """The newest move that deleted or restored a version."""
    before: int | None = None
    while page := history.log(f"version/{first.hex()}", before=before, limit=PAGE):
        for entry in page:
            if _deleted(entry.key, entry.before) != _deleted(entry.key, entry.after):
                return entry
        before = page[-1].number
    return None


def _deleted(key: str, value: bytes | None) -> bool:
    return value is not None and decode(VersionState, Ref(key, value, 1)).deleted is not None
