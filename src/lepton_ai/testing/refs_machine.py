"""A state machine that drives a history at random and compares every answer with plain dicts and lists."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lepton_ai.errors import LostRace
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, History, LogEntry, Move, VersionRow

LETTERS = "ab/é\ud7ff\ue000😀\U0010ffff\0"
KEYS = st.text(LETTERS, min_size=1, max_size=3)
PREFIXES = st.text(LETTERS, max_size=3)
LIMITS = st.none() | st.integers(0, 4)
MOVES = st.dictionaries(KEYS, st.tuples(st.none() | st.binary(max_size=4), st.booleans()), max_size=3)
NAMES = st.sampled_from(("v1", "v2", "w"))


class RefMachine(RuleBasedStateMachine):
    """Subclass it, define ``open`` and, if it can be opened again, ``reopen``; run it as ``….TestCase``."""

    history: History

    def open(self) -> History:
        """A fresh, empty history."""
        raise NotImplementedError

    def reopen(self) -> History:
        """The same history, opened again."""
        return self.history

    @initialize()
    def start(self) -> None:
        """Begin with nothing."""
        self.history = self.open()
        self.values: dict[str, bytes] = {}
        self.stamps: dict[str, int] = {}
        self.used: set[tuple[str, int]] = set()
        self.entries: list[LogEntry] = []
        self.rows: list[VersionRow] = []
        self.contents: dict[bytes, ContentRow] = {}
        self.clock = 0

    @rule(
        moves=MOVES,
        checks=st.lists(KEYS, max_size=2),
        wrong=st.none() | KEYS,
        name=NAMES,
        rows=st.integers(0, 2),
    )
    def commit(
        self,
        moves: dict[str, tuple[bytes | None, bool]],
        checks: list[str],
        wrong: str | None,
        name: str,
        rows: int,
    ) -> None:
        """A commit from what was read, of which one stamp may be wrong; then nothing at all may change."""
        self.clock += 1
        expected = {key: self.stamps.get(key, ABSENT) for key in (*moves, *checks)}
        if wrong in expected:
            expected[wrong] += 1
        versions = tuple(self._row(len(self.rows) + number, name) for number in range(rows))
        contents = tuple(ContentRow(row.id, self.clock, rows, bytes(32)) for row in versions)
        change = Commit(
            actor="machine",
            act="commit",
            why=name,
            at=self.clock,
            moves=tuple(Move(key, expected[key], *moves[key]) for key in moves),
            checks={key: expected[key] for key in checks},
            versions=versions,
            contents=contents,
        )
        if wrong in expected:
            with pytest.raises(LostRace, match=re.escape(repr(wrong))):
                self.history.commit(change)
        else:
            self.history.commit(change)
            self._remember(change)

    @rule()
    def open_again(self) -> None:
        """Everything is still there."""
        self.history = self.reopen()

    @rule(prefix=PREFIXES, after=PREFIXES, limit=LIMITS)
    def scan(self, prefix: str, after: str, limit: int | None) -> None:
        """Some refs in order."""
        keys = sorted(key for key in self.values if key.startswith(prefix) and key > after)
        found = self.history.scan(prefix, after=after, limit=limit)
        assert [(ref.key, ref.value) for ref in found] == [(key, self.values[key]) for key in keys[:limit]]

    @rule(prefix=PREFIXES, back=st.none() | st.integers(0, 20), limit=LIMITS)
    def log(self, prefix: str, back: int | None, limit: int | None) -> None:
        """Some of the log, newest first."""
        before = None if back is None or back >= len(self.entries) else self.entries[back].number
        wanted = [entry for entry in reversed(self.entries) if entry.key.startswith(prefix)]
        expected = [entry for entry in wanted if before is None or entry.number < before][:limit]
        assert self.history.log(prefix, before=before, limit=limit) == expected

    @rule(limit=LIMITS)
    def page(self, limit: int | None) -> None:
        """Versions, newest first."""
        firsts = [row for row in reversed(self.rows) if row.revision == 1]
        assert [row for _, row in self.history.page(limit=limit)] == firsts[:limit]

    @rule(name=NAMES)
    def named(self, name: str) -> None:
        """Versions of one name."""
        assert self.history.named(name) == [
            row for row in self.rows if row.name == name and row.revision == 1
        ]

    @rule(length=st.integers(0, 5), limit=st.integers(0, 4), number=st.integers(0, 30))
    def find(self, length: int, limit: int, number: int) -> None:
        """Ids by their first digits."""
        prefix = self._id(number).hex()[:length]
        ids = sorted(row.id for row in self.rows if row.id.hex().startswith(prefix))
        assert self.history.find(prefix, limit=limit) == ids[:limit]

    @invariant()
    def refs_agree(self) -> None:
        """Every ref has the value and stamp that it was given last."""
        found = {ref.key: ref for ref in self.history.scan("")}
        assert {key: ref.value for key, ref in found.items()} == self.values
        assert {key: ref.stamp for key, ref in found.items()} == self.stamps
        assert self.history.get(list(self.values)) == found

    @invariant()
    def rows_agree(self) -> None:
        """Every row is as it was written."""
        ids = [row.id for row in self.rows]
        assert self.history.versions(ids) == {row.id: row for row in self.rows}
        assert self.history.contents(ids) == self.contents
        by_first: dict[bytes, list[VersionRow]] = {}
        for row in self.rows:
            by_first.setdefault(row.first, []).append(row)
        assert self.history.revisions(ids) == by_first

    def teardown(self) -> None:
        """Let go of the history."""
        if hasattr(self, "history"):
            self.history.close()

    def _row(self, number: int, name: str) -> VersionRow:
        """Row ``number``: every third one is a further revision of the one before."""
        made, last = self._id(number), self.rows[-1] if self.rows else None
        if last is not None and number == len(self.rows) and number % 3 == 2:
            return VersionRow(
                made, last.first, last.revision + 1, last.name, "b", (), None, number, number, b"r"
            )
        return VersionRow(
            made, made, 1, name, "b", (bytes(32),) * (number % 3), bytes(32), number, number, b""
        )

    def _id(self, number: int) -> bytes:
        return hashlib.sha256(b"%d" % number).digest()

    def _remember(self, change: Commit) -> None:
        self.rows.extend(change.versions)
        self.contents.update({row.sha256: row for row in change.contents})
        logged = [move for move in change.moves if move.logged]
        numbers = [entry.number for entry in self.history.log(limit=len(logged))][::-1]
        assert numbers == sorted(set(numbers))
        assert not self.entries or not numbers or numbers[0] > self.entries[-1].number
        for move, number in zip(logged, numbers, strict=True):
            said = (change.at, change.actor, change.act, change.why)
            self.entries.append(LogEntry(number, *said, move.key, self.values.get(move.key), move.value))
        for move in change.moves:
            self.values.pop(move.key, None)
            self.stamps.pop(move.key, None)
            if move.value is not None:
                self.values[move.key] = move.value
                self._take_stamp(move.key)

    def _take_stamp(self, key: str) -> None:
        stamp = self.history.get([key])[key].stamp
        assert stamp > ABSENT
        assert (key, stamp) not in self.used
        self.used.add((key, stamp))
        self.stamps[key] = stamp
