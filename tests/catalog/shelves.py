"""Histories full of versions, written commit by commit into any history."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lepton_ai.history import states
from lepton_ai.history.record import canonical, timestamp, version_id
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, VersionRow
from lepton_ai.types import FileEntry, Operation, Record

START = 1_795_132_800_000_000  # 2026-11-20


class Shelf:
    """Writes versions, labels and branches to one history, or the same to several."""

    def __init__(self, *histories: History) -> None:
        self.histories = histories
        self.firsts: list[bytes] = []
        self._states: dict[bytes, states.VersionState] = {}
        self._count = 0

    def branch(self, uid: str, name: str, *, deleted: bool = False) -> None:
        gone = states.Gone(START, "x") if deleted else None
        self.set(f"line/{uid}", states.LineState(name))
        self.set(f"branch/{name}", states.BranchState(uid, deleted=gone))

    def version(
        self,
        name: str = "v1",
        line: str = "u1",
        *,
        revises: bytes | None = None,
        at: int | None = None,
        size: int = 1,
        author: str = "ada",
        message: str = "",
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float | str] | None = None,
    ) -> bytes:
        """Write one; returns the id of its first revision."""
        row, state = self.made(
            name, line, revises=revises, at=at, size=size, author=author, message=message, params=params,
            metrics=metrics,
        )  # fmt: skip
        self.commit(
            [Move(f"version/{row.first.hex()}", self._stamp(row.first), states.encode(state))], (row,)
        )
        return row.first

    def made(
        self,
        name: str,
        line: str,
        *,
        revises: bytes | None = None,
        at: int | None = None,
        size: int = 1,
        **carried: Any,
    ) -> tuple[VersionRow, states.VersionState]:
        """A row and the state of its version."""
        self._count += 1
        moment = START + self._count * 1_000_000 if at is None else at
        record = Record(
            name=name, branch=line, author=carried.get("author", "ada"), created_at=timestamp(moment),
            operation=Operation("save", detail=str(self._count)),
            files=(FileEntry("model", hashlib.sha256(str(size).encode()).hexdigest(), size),),
            message=carried.get("message") or "", params=dict(carried.get("params") or {}),
            metrics=dict(carried.get("metrics") or {}),
        )  # fmt: skip
        own = version_id(record)
        before = self._states.get(revises) if revises else None
        revision = before.revisions + 1 if before else 1
        first = revises or own
        row = VersionRow(own, first, revision, name, line, (), None, 0, moment, canonical(record))
        state = states.VersionState(own.hex(), revision, moment)
        self._states[first] = state
        if not revises:
            self.firsts.append(first)
        return row, state

    def delete(self, first: bytes, *, purged: bool = False) -> None:
        old = self._states[first]
        gone = states.Gone(START, "bo")
        state = states.VersionState(
            old.newest, old.revisions, old.updated_at, 0, gone, START if purged else None
        )
        self._states[first] = state
        self.set(f"version/{first.hex()}", state)

    def label(self, key: str, first: bytes | None) -> None:
        """Set a tag or alias ("tag/x") to the newest revision of a version, or remove it."""
        if first is None:
            return self.commit([Move(key, self.stamp(key), None)])
        return self.set(key, states.LabelState(self._states[first].newest, START, "bo"))

    def set(self, key: str, state: Any) -> None:
        self.commit([Move(key, self.stamp(key), states.encode(state))])

    def commit(self, moves: list[Move], versions: tuple[VersionRow, ...] = ()) -> None:
        for history in self.histories:
            there = history.get([move.key for move in moves])
            own = tuple(
                Move(m.key, there[m.key].stamp if m.key in there else ABSENT, m.value, m.logged)
                for m in moves
            )
            history.commit(Commit("ada", "test", "", START, own, versions=versions))

    def stamp(self, key: str) -> int:
        found = self.histories[0].get([key])
        return found[key].stamp if key in found else ABSENT

    def _stamp(self, first: bytes) -> int:
        return self.stamp(f"version/{first.hex()}")


def world(shelf: Shelf) -> Shelf:
    """Versions with about everything that can be odd about them."""
    for uid, name in (("u1", "main"), ("u2", "feature/a"), ("u3", "old")):
        shelf.branch(uid, name)
    metrics: list[dict[str, float | str]] = [
        {}, {"a": 0.5}, {"a": 0.1 + 0.2}, {"a": "NaN"}, {"a": "Infinity"}, {"a": "-Infinity"}, {"a": -0.0},
        {"a": 1e308, "b": 1.0}, {"a": 5e-300, "b": 2.0}, {"b": 1.0, "val acc": 0.5}, {"A": 0.5}, {"a": 0.5, "b": 1.0},
    ]  # fmt: skip
    params: list[dict[str, Any]] = [
        {}, {"p": 1}, {"p": "1"}, {"p": True}, {"p": None}, {"p": [1, "x"]}, {"p": {"q": 0.5}}, {"p": "Straße"},
        {"p": "STRASSE"}, {"p": "a%b_c"}, {"p": "a\\b|c"}, {"p": "aXb_c"}, {"p": "x "}, {"p": "x"}, {"p": 2**63},
        {"p": "a\0b"}, {"p": "[a]*?"},
    ]  # fmt: skip
    authors = ["ada", "Ada", "Zoë", "zoe", "李", "a_b", "", "ada ", "ß" * 400]
    messages = [
        "",
        "Retrained",
        "retrained on MORE",
        "100% sure",
        "line\nbreak",
        "Ünïcode 李",
        "x" * 1500 + "END",
    ]
    for number in range(60):
        shelf.version(
            f"v{number % 13}" if number % 7 else f"Model_v{number}", f"u{number % 3 + 1}",
            at=START + (number * 7919 % 60) * 3_600_000_000, size=number % 5,
            author=authors[number % len(authors)], message=messages[number % len(messages)],
            params=params[number % len(params)], metrics=metrics[number % len(metrics)],
        )  # fmt: skip
    for number in (3, 3, 10, 20):
        shelf.version(
            revises=shelf.firsts[number], line=f"u{number % 3 + 1}", metrics={"a": 0.25}, message="again"
        )
    for number, key in (
        (1, "tag/gold"),
        (1, "tag/rc_1"),
        (4, "alias/production"),
        (5, "alias/Production"),
        (9, "tag/x"),
    ):
        shelf.label(key, shelf.firsts[number])
    shelf.label("alias/production", shelf.firsts[6])
    shelf.label("tag/x", None)
    for number in (7, 8, 31):
        shelf.delete(shelf.firsts[number], purged=number == 8)
    shelf.branch("u3", "renamed")
    return shelf
