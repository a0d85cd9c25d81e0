"""Processes that commit until they are killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
from tests.history.refs.children import kill_at_line, row_of, spawn

MANY, FEW = 150, 3
"""Contents of one commit: all over the table, so that its pages are often hit half written; or soon traced."""


def contents_of(number: int, count: int = MANY) -> tuple[ContentRow, ...]:
    digests = [hashlib.sha256(b"%d:%d" % (number, part)).digest() for part in range(count)]
    return tuple(ContentRow(digest, number, 1, bytes(32)) for digest in digests)


def commit_on(path: Path, pipe: int, at_line: int | None) -> None:
    """Commit for as long as it lives, and acknowledge each commit through the pipe."""
    history = SqliteHistory(path)
    count = MANY if at_line is None else FEW
    while True:
        ref = history.get(["counter"]).get("counter")
        number = int(ref.value) + 1 if ref else 1
        row = row_of(number)
        moves = (
            Move("counter", ref.stamp if ref else ABSENT, b"%d" % number),
            Move(f"version/{row.id.hex()}", ABSENT, b"%d" % number),
        )
        change = Commit("victim", "count", "", number, moves, {}, (row,), contents_of(number, count))
        if at_line is not None:
            kill_at_line(at_line)
        history.commit(change)
        sys.settrace(None)
        os.write(pipe, number.to_bytes(8, "little"))
        if at_line is not None:
            return


def crash(path: Path, timed: int, step: int) -> dict[str, Any]:
    """Kill a committing process ``timed`` times after a while, then at every ``step``-th line of a commit."""
    SqliteHistory(path).close()
    rng = random.Random(7)
    seen: dict[str, Any] = {"kills": 0, "hot": 0, "acknowledged": 0, "problems": []}
    survived, pace = False, 0.01
    for at_line in [*([None] * timed), *range(0, 10_000, step)]:
        reading, writing = os.pipe()
        pid = spawn(lambda to=writing, at=at_line: commit_on(path, to, at))
        os.close(writing)
        if at_line is None:
            after = rng.uniform(0, 3 * pace)
            time.sleep(after)
            os.kill(pid, signal.SIGKILL)
        survived = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL
        seen["kills"] += not survived
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        if at_line is None:  # seconds of one commit, so that kills come before, in and after some on any disk
            pace = 0.7 * pace + 0.3 * after / (len(told) // 8) if told else 1.2 * pace
        acknowledged = int.from_bytes(told[-8:], "little") if told else seen["acknowledged"]
        journal = path.with_name(path.name + "-journal")
        seen["hot"] += journal.exists() and journal.read_bytes()[:8].strip(b"\0") != b""
        seen["problems"] += after_crash(path, acknowledged)
        seen["acknowledged"] = max(acknowledged, counter_of(path))
        if survived:
            break
    return seen


def counter_of(path: Path) -> int:
    history = SqliteHistory(path)
    ref = history.get(["counter"]).get("counter")
    history.close()
    return int(ref.value) if ref else 0


def after_crash(path: Path, acknowledged: int) -> list[str]:
    """What is wrong: a lost acknowledged commit, half a commit, a log that tells otherwise."""
    history = SqliteHistory(path, create=False)
    try:
        number = counter_of(path)
        problems = history.integrity()
        if number not in (acknowledged, acknowledged + 1):
            problems.append(f"{acknowledged} was acknowledged, {number} is there")
        if number:
            row = row_of(number)
            newest = history.log(limit=2)
            if [entry.after for entry in newest] != [b"%d" % number] * 2 or newest[-1].key != "counter":
                problems.append(f"the log of {number} is {newest}")
            if history.page(limit=1)[0] != (number, row):
                problems.append(f"version {number} is not there")
            found = history.contents(content.sha256 for content in contents_of(number))
            if set(found.values()) not in (set(contents_of(number, MANY)), set(contents_of(number, FEW))):
                problems.append(f"contents of {number} are not there")
        later = [content.sha256 for content in contents_of(number + 1)]
        if history.versions([row_of(number + 1).id]) or history.contents(later):
            problems.append(f"rows of {number + 1} are there already")
        return problems
    finally:
        history.close()
