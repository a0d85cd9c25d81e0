"""Scenarios of several processes, in a program of their own, so that they may fork and be killed freely.

python -m tests.history.refs.driver SCENARIO ARGUMENT…      prints what it saw as JSON
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_ai.errors import LeptonError
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import increment
from tests.history.refs.children import finished_well, spawn
from tests.history.refs.migrants import migrations
from tests.history.refs.racers import Racer, race
from tests.history.refs.victims import crash


def hold(path: Path) -> dict[str, Any]:
    """Hold the one write transaction until somebody closes our standard input."""
    history = SqliteHistory(path)
    with history._database.writing():
        print("held", flush=True)
        sys.stdin.read()
    return {}


def read_on(path: Path) -> dict[str, Any]:
    """Hold a snapshot until somebody closes our standard input."""
    history = SqliteHistory(path)
    with history._database.reading() as db:
        db.execute("SELECT count(*) FROM refs").fetchone()
        print("held", flush=True)
        sys.stdin.read()
    return {}


def pay(path: Path) -> dict[str, Any]:
    """Move money between accounts until somebody closes our standard input."""
    racer = Racer(lambda: SqliteHistory(path), 1, 0)
    print("held", flush=True)
    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    while not done.is_set():
        racer.transfer()
    return {"commits": racer.made}


def forks(path: Path, children: int, increments: int) -> dict[str, Any]:
    """Fork while threads commit; parent, threads and children all go on with the one object."""
    history = SqliteHistory(path)

    def count() -> None:
        for _ in range(increments):
            increment(history, "counter")

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    pids = [spawn(count) for _ in range(children)]
    count()
    for thread in threads:
        thread.join()
    well = finished_well(pids)
    return {
        "well": well,
        "counter": int(history.get(["counter"])["counter"].value),
        "problems": history.integrity(),
    }


def births(folder: Path, children: int, rounds: int) -> dict[str, Any]:
    """Have several processes make the same history at the same moment."""

    def be_first(path: Path, moment: float, child: int) -> None:
        while time.monotonic() < moment:
            pass
        history = SqliteHistory(path)
        history.commit(Commit("t", "t", moves=(Move(f"child/{child}", ABSENT, b"1"),)))
        history.close()

    well, problems, found = True, [], []
    for number in range(rounds):
        path, moment = folder / f"{number}.db", time.monotonic() + 0.05
        pids = [spawn(lambda n=n: be_first(path, moment, n)) for n in range(children)]  # noqa: B023  (forked now)
        well &= finished_well(pids)
        history = SqliteHistory(path, create=False)
        problems += history.integrity()
        found.append(len(history.scan("child/")))
        history.close()
    return {"well": well, "problems": problems, "found": found}


def kind_of(work: Callable[[], object]) -> str:
    try:
        work()
    except LeptonError as problem:
        return f"{problem.kind}: {problem}"
    return "fine"


def refused(folder: Path, what: str) -> dict[str, Any]:
    """Take away the right to write to the ``folder`` or the ``file``, and tell how reading and writing fare."""
    path = folder / "history.db"
    path.as_uri()  # loads a module that whoever we become may not be able to read
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    change = Commit("t", "t", moves=(Move("more", ABSENT, b"1"),))
    if what == "missing":
        return {"open": kind_of(lambda: SqliteHistory(folder / "new.db"))}
    history = SqliteHistory(path)
    return {
        "read": kind_of(lambda: history.get(["key"])["key"]),
        "write": kind_of(lambda: history.commit(change)),
        "again": kind_of(lambda: history.get(["key"])["key"]),
    }


def limited(path: Path) -> dict[str, Any]:
    """Let no file grow beyond 200 kB, and commit until that is refused."""
    history = SqliteHistory(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    number, answer = 0, "fine"
    while answer == "fine":
        change = Commit("t", "t", moves=(Move(f"key/{number}", ABSENT, b"x" * 1000),))
        answer = kind_of(lambda change=change: history.commit(change))
        number += answer == "fine"
    return {
        "answer": answer,
        "kept": number,
        "found": len(history.scan("key/")),
        "problems": history.integrity(),
    }


def main(scenario: str, *words: str) -> None:
    path = Path(words[0])
    numbers = [int(word) for word in words[1:] if word.isdigit()]
    texts = [word for word in words[1:] if not word.isdigit()]
    scenarios: dict[str, Callable[[], dict[str, Any]]] = {
        "race": lambda: race(lambda: SqliteHistory(path), Path(texts[0]), *numbers),
        "crash": lambda: crash(path, *numbers),
        "migrations": lambda: migrations(path, *numbers),
        "hold": lambda: hold(path),
        "read_on": lambda: read_on(path),
        "pay": lambda: pay(path),
        "births": lambda: births(path, *numbers),
        "forks": lambda: forks(path, *numbers),
        "refused": lambda: refused(path, *texts),
        "limited": lambda: limited(path),
    }
    print(json.dumps(scenarios[scenario]()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
