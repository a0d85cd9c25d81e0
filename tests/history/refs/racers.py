"""Processes that race on one history, and remember what was acknowledged to them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_ai.errors import LostRace
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, History, Move, VersionRow
from tests.history.refs.children import finished_well, row_of, spawn

ACCOUNTS = [f"account/{letter}" for letter in "abcd"]
TOTAL = 1000


class Racer:
    """Does random things to one history until it has made ``commits`` commits; keeps what was acknowledged."""

    def __init__(self, opened: Callable[[], History], worker: int, commits: int) -> None:
        self.opened, self.worker, self.commits = opened, worker, commits
        self.history = opened()
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
                self.history = self.opened()
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


def race(opened: Callable[[], History], out: Path, workers: int, commits: int) -> dict[str, Any]:
    """Many processes on one history; each leaves what was acknowledged to it in ``out``."""
    history = opened()
    moves = tuple(Move(key, ABSENT, b"%d" % TOTAL) for key in ACCOUNTS)
    history.commit(Commit("bank", "open", moves=moves))
    history.close()
    begun = time.perf_counter()
    pids = [spawn(lambda n=n: Racer(opened, n, commits).run(out / f"{n}.json")) for n in range(workers)]
    return {"well": finished_well(pids), "seconds": time.perf_counter() - begun}


def check_race(history: History, out: Path, workers: int, commits: int) -> None:
    """Nothing was lost, the log replays to the refs, and whatever was acknowledged is in it, in order."""
    told = [json.loads((out / f"{worker}.json").read_text()) for worker in range(workers)]
    assert sum(one["made"] for one in told) == workers * commits
    assert sum(one["lost"] for one in told) > 0, "nobody ever raced: the test shows nothing"
    log = history.log()[::-1]
    refs: dict[str, bytes] = {}
    for entry in log:
        assert refs.get(entry.key) == entry.before
        if entry.after is None:
            del refs[entry.key]
        else:
            refs[entry.key] = entry.after
    assert {ref.key: ref.value for ref in history.scan("") if not ref.key.startswith("lease/")} == refs
    assert sum(int(refs[key]) for key in ACCOUNTS) == TOTAL * len(ACCOUNTS)
    for worker, one in enumerate(told):
        mine = [
            [entry.key, None if entry.after is None else entry.after.decode()]
            for entry in log
            if entry.actor == f"racer {worker}"
        ]
        assert mine == one["acknowledged"]
        rows = [row_of(number, worker) for number in range(one["rows"])]
        assert history.versions([row.id for row in rows]) == {row.id: row for row in rows}
        assert set(history.contents([row.id for row in rows])) == {row.id for row in rows}
    counted = [key for one in told for key, _ in one["acknowledged"] if key.startswith("shared/")]
    assert {key: counted.count(key) for key in counted} == {
        key: int(value) for key, value in refs.items() if key.startswith("shared/")
    }
