"""A commit that somebody sends: checked, signed with who and when, and applied."""

from __future__ import annotations

from msgspec.structs import replace

from lepton_ai.errors import LostRace, UsageError
from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, History
from lepton_ai.history.writing import EPOCH
from lepton_ai.server.receiving import contents, moves
from lepton_ai.server.receiving.contents import Shelf
from lepton_ai.server.receiving.moves import Sender
from lepton_ai.server.receiving.rows import Rows, check_rows

TRIES = 5
"""How often a commit is checked anew when packs were condemned meanwhile."""
LONGEST = 10_000
"""Characters of an act or a reason."""


def receive(change: Commit, history: History, shelf: Shelf, sender: Sender) -> None:
    """Apply a commit that ``sender`` made, if it holds what decision 0018 asks for.

    Raises:
        UsageError: it does not; says why. Forbidden: the sender may not do that.
        LostRace: a stamp is not the expected one.
        TooNew: a later version of the tool made it.
    """
    rules.check_commit(change)
    check_words(change)
    moves.check_checks(change.checks)
    for left in reversed(range(TRIES)):
        epoch = _epoch(history)
        checked = prepared(change, history, shelf, sender)
        try:
            history.commit(_bound(checked, epoch))
        except LostRace:
            if left and relies(change) and _epoch(history) != epoch and change.checks.get(EPOCH) is None:
                continue  # packs were condemned since; are those that it needs still there?
            raise
        return


def prepared(change: Commit, history: History, shelf: Shelf, sender: Sender) -> Commit:
    """The commit as it is to be applied: actor and time are the server's to say."""
    rows = Rows(history, change.versions)
    needed = check_rows(rows, change.versions) | moves.brought(change.moves)
    there = history.get([move.key for move in change.moves]) if change.moves else {}
    checked = moves.check_moves(change.moves, there, rows, sender)
    moves.check_states_come(change.versions, checked, history.get)
    come: tuple[ContentRow, ...] = ()
    if needed or change.contents:
        avoid = {ref.key.removeprefix("condemned/") for ref in history.scan("condemned/")}
        kept = history.contents(needed - {row.sha256 for row in change.contents})
        come = contents.check_contents(shelf, needed, change.contents, kept, avoid)
    return replace(change, actor=sender.name, at=0, moves=checked, contents=come)


def relies(change: Commit) -> bool:
    """Whether it counts on packs that nobody may take away meanwhile."""
    return bool(change.versions or change.contents) and all(move.key != EPOCH for move in change.moves)


def check_words(change: Commit) -> None:
    """Act and reason are texts for people, of a length that people write."""
    if not change.act or len(change.act) > LONGEST or len(change.why) > LONGEST:
        raise UsageError(f"a commit says what is done and why, in at most {LONGEST} characters each")


def _bound(change: Commit, epoch: int) -> Commit:
    if not relies(change) or EPOCH in change.checks:
        return change
    return replace(change, checks={**change.checks, EPOCH: epoch})


def _epoch(history: History) -> int:
    ref = history.get([EPOCH]).get(EPOCH)
    return ref.stamp if ref else ABSENT
