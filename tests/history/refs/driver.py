"""Processes for the tests of the embedded history: run as a program, so that it may fork and be killed freely.

python driver.py SCENARIO ARGUMENT…      prints what it saw as JSON
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from lepton_ai.errors import LeptonError, LostRace
from lepton_ai.history.refs import database, schema
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move, VersionRow
from lepton_ai.history.refs.migrations import MIGRATIONS
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import increment

ROOM = str(Path(schema.__file__).parent)
ACCOUNTS = [f"account/{letter}" for letter in "abcd"]
TOTAL = 1000


def spawn(work: Callable[[], None]) -> int:
    """Fork a child that does ``work`` and ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException as problem:  # noqa: BLE001  (told to the test through stderr and the exit code)
        print(f"child: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def finished_well(pids: list[int]) -> bool:
    ends = [os.waitpid(pid, 0)[1] for pid in pids]
    return ends == [0] * len(pids)


def row_of(number: int, worker: int = 0) -> VersionRow:
    made = hashlib.sha256(b"%d/%d" % (worker, number)).digest()
    return VersionRow(made, made, 1, f"v{number}", "main", (), None, number, number, b"r" * 500)


# --- eight processes that race ---------------------------------------------------------------------------------


class Racer:
    """Does random things to one history until it has made ``commits`` commits; keeps what was acknowledged."""

    def __init__(self, path: Path, worker: int, commits: int) -> None:
        self.path, self.worker, self.commits = path, worker, commits
        self.history = SqliteHistory(path)
        self.rng = random.Random(worker)
        self.acknowledged: list[tuple[str, str | None]] = []
        self.lost = self.made = 0
        self.rows = 0

    def run(self, out: Path) -> None:
        acts = (
            self.count,
            self.count,
            self.transfer,
            self.transfer,
            self.own,
            self.save,
            self.beat,
            self.look,
        )
        while self.made < self.commits:
            self.rng.choice(acts)()
            if self.rng.random() < 0.01:
                self.history.close()
                self.history = SqliteHistory(self.path)
        self.history.close()
        told = {"acknowledged": self.acknowledged, "made": self.made, "lost": self.lost, "rows": self.rows}
        out.write_text(json.dumps(told))

    def move(
        self, *moves: tuple[str, int, bytes | None], row: VersionRow | None = None, logged: bool = True
    ) -> None:
        """One commit of these moves; a lost race is counted and left to the next try."""
        contents = (ContentRow(row.id, 1, 1, bytes(32)),) if row else ()
        change = Commit(
            f"racer {self.worker}", "race", moves=tuple(Move(*move, logged) for move in moves),
            versions=(row,) if row else (), contents=contents,
        )  # fmt: skip
        if self.rng.random() < 0.2:
            time.sleep(self.rng.uniform(0, 0.002))  # others get a chance to be faster
        try:
            self.history.commit(change)
        except LostRace:
            self.lost += 1
            return
        self.made += 1
        self.rows += row is not None
        if logged:
            self.acknowledged.extend(
                (key, value.decode() if value is not None else None) for key, _, value in moves
            )

    def count(self) -> None:
        key = f"shared/{self.rng.randrange(3)}"
        ref = self.history.get([key]).get(key)
        self.move((key, ref.stamp if ref else ABSENT, b"%d" % (int(ref.value) + 1 if ref else 1)))

    def transfer(self) -> None:
        source, target = self.rng.sample(ACCOUNTS, 2)
        refs = self.history.get([source, target])
        amount = self.rng.randrange(5)
        self.move(
            (source, refs[source].stamp, b"%d" % (int(refs[source].value) - amount)),
            (target, refs[target].stamp, b"%d" % (int(refs[target].value) + amount)),
        )

    def own(self) -> None:
        key = f"own/{self.worker}/{self.rng.randrange(5)}"
        ref = self.history.get([key]).get(key)
        value = None if ref and self.rng.random() < 0.4 else b"%d" % self.rng.randrange(1000)
        self.move((key, ref.stamp if ref else ABSENT, value))

    def save(self) -> None:
        ref = self.history.get(["branch/main"]).get("branch/main")
        row = row_of(self.rows, self.worker)
        self.move(("branch/main", ref.stamp if ref else ABSENT, row.id.hex().encode()), row=row)

    def beat(self) -> None:
        key = f"lease/{self.worker}"
        ref = self.history.get([key]).get(key)
        self.move((key, ref.stamp if ref else ABSENT, None if ref else b"1"), logged=False)

    def look(self) -> None:
        """Every answer is one moment: money never appears or vanishes, the head's row is there."""
        balance = sum(int(ref.value) for ref in self.history.scan("account/"))
        assert balance == TOTAL * len(ACCOUNTS), balance
        page = self.history.log("account/", limit=10)
        assert page == self.history.log(before=page[0].number + 1, prefix="account/", limit=10)
        for head in self.history.scan("branch/main"):
            assert self.history.versions([bytes.fromhex(head.value.decode())])


def race(path: Path, out: Path, workers: int, commits: int) -> dict[str, Any]:
    history = SqliteHistory(path)
    moves = tuple(Move(key, ABSENT, b"%d" % TOTAL) for key in ACCOUNTS)
    history.commit(Commit("bank", "open", moves=moves))
    history.close()
    begun = time.perf_counter()
    pids = [spawn(lambda n=n: Racer(path, n, commits).run(out / f"{n}.json")) for n in range(workers)]
    return {"well": finished_well(pids), "seconds": time.perf_counter() - begun}


# --- killed processes ------------------------------------------------------------------------------------------


def kill_at_line(wanted: int) -> None:
    """Have this process killed when it is about to run line number ``wanted`` (counted) of the room or of a step."""
    left = wanted

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not (frame.f_code.co_filename.startswith(ROOM) or frame.f_code.co_name == "second_step"):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


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


# --- a killed migration ----------------------------------------------------------------------------------------


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


# --- others ----------------------------------------------------------------------------------------------------


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
    racer = Racer(path, 1, 0)
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
        "race": lambda: race(path, Path(texts[0]), *numbers),
        "crash": lambda: crash(path, *numbers),
        "migrations": lambda: migrations(path, *numbers),
        "hold": lambda: hold(path),
        "read_on": lambda: read_on(path),
        "pay": lambda: pay(path),
        "forks": lambda: forks(path, *numbers),
        "refused": lambda: refused(path, *texts),
        "limited": lambda: limited(path),
    }
    print(json.dumps(scenarios[scenario]()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
