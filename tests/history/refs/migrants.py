"""Processes that are killed while they migrate."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

from lepton_ai.history.refs import database, schema
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.migrations import MIGRATIONS
from lepton_ai.history.refs.sqlite import SqliteHistory
from tests.history.refs.children import finished_well, kill_at_line, spawn


def second_step(db: sqlite3.Connection) -> None:
    """A made-up step 2 that rebuilds a table, moves its rows one by one and adds another."""
    db.execute("CREATE TABLE extra (key TEXT PRIMARY KEY, length INTEGER NOT NULL)")
    db.execute(
        "CREATE TABLE fresh (key TEXT PRIMARY KEY, value BLOB, stamp INTEGER, note TEXT) WITHOUT ROWID"
    )
    for key, value, stamp in db.execute("SELECT key, value, stamp FROM refs").fetchall():
        db.execute("INSERT INTO fresh VALUES (?, ?, ?, 'moved')", (key, value, stamp))
        db.execute("INSERT INTO extra VALUES (?, ?)", (key, len(value)))
    db.execute("DROP TABLE refs")
    db.execute("ALTER TABLE fresh RENAME TO refs")
    db.execute("CREATE INDEX by_stamp ON refs (stamp)")


def with_second_step() -> None:
    """From here on, this process knows one step more."""
    later = functools.partial(schema.bring_up_to_date, migrations=(*MIGRATIONS, second_step))
    database.schema.bring_up_to_date = later  # type: ignore[assignment]


def migrate(folder: Path, at_line: int | None) -> None:
    with_second_step()
    if at_line is not None:
        kill_at_line(at_line)
    SqliteHistory(folder / "history.db").close()


def state_of(path: Path) -> tuple[int, list[str], list[Any]]:
    """Version, tables and refs as plain SQLite sees them; raises when it is not sound."""
    db = sqlite3.connect(path)
    try:
        sound = db.execute("PRAGMA integrity_check").fetchone()[0]
        assert sound == "ok", sound
        tables = sorted(row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        refs = db.execute("SELECT key, value, stamp FROM refs ORDER BY key").fetchall()
        return db.execute("PRAGMA user_version").fetchone()[0], tables, refs
    finally:
        db.close()


def migrations(folder: Path, timed: int, step: int) -> dict[str, Any]:
    """Kill a migration ``timed`` times after a while, then at every ``step``-th line until it comes through alive.

    After each kill it must be as before or as after, and come through when it is repeated.
    """
    template = folder / "template"
    template.mkdir()
    history = SqliteHistory(template / "history.db")
    history.commit(Commit("t", "t", moves=tuple(Move(f"key/{n}", ABSENT, b"%d" % n) for n in range(12))))
    history.close()
    old = state_of(template / "history.db")
    seen: dict[str, Any] = {"kills": 0, "old": 0, "new": 0, "problems": []}
    rng = random.Random(7)
    for at_line in [*([None] * timed), *range(0, 10_000, step)]:
        place = folder / "one"
        shutil.copytree(template, place)
        pid = spawn(lambda at=at_line, place=place: migrate(place, at))
        if at_line is None:
            time.sleep(rng.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        state = state_of(place / "history.db")
        if state != old and (state[0] != 2 or state[2] != old[2] or "extra" not in state[1]):
            seen["problems"].append(f"line {at_line}: neither old nor new: {state}")
        seen["old" if state == old else "new"] += 1
        copy = place / "backups" / "history.db.before-2"
        if state != old and state_of(copy) != old:
            seen["problems"].append(f"line {at_line}: no good copy")
        if not finished_well([spawn(lambda place=place: migrate(place, None))]):
            seen["problems"].append(f"line {at_line}: cannot be repeated")
        if state_of(place / "history.db")[0] != 2 or [p.name for p in copy.parent.iterdir()] != [copy.name]:
            seen["problems"].append(f"line {at_line}: repeated, but {sorted(copy.parent.iterdir())}")
        shutil.rmtree(place)
        seen["kills"] += killed == -signal.SIGKILL
        if killed != -signal.SIGKILL and at_line is not None:
            seen["problems"] += [] if killed == 0 else [f"line {at_line}: ended with {killed}"]
            break
    return seen
