"""Many processes on one file: racing, forked, killed."""

from __future__ import annotations

import json
from pathlib import Path

from lepton_ai.history.refs.sqlite import SqliteHistory
from tests.history.refs.processes import drive, driving
from tests.history.refs.racers import ACCOUNTS, TOTAL, check_race

WORKERS = 8
COMMITS = 600


def test_eight_processes_lose_nothing(swift_path: Path) -> None:
    seen = drive("race", swift_path / "history.db", swift_path, WORKERS, COMMITS)
    assert seen["well"], seen["stderr"]
    history = SqliteHistory(swift_path / "history.db")
    assert history.integrity() == []
    check_race(history, swift_path, WORKERS, COMMITS)
    history.close()


def test_a_killed_commit_is_whole_or_absent(tmp_path: Path) -> None:
    seen = drive("crash", tmp_path / "history.db", 110, 3)
    assert seen["problems"] == []
    assert seen["kills"] >= 150, seen
    assert seen["hot"] > 0, "no kill ever hit a transaction that had to be rolled back"


def test_a_killed_migration_is_whole_or_absent_and_can_be_repeated(tmp_path: Path) -> None:
    seen = drive("migrations", tmp_path, 30, 3)
    assert seen["problems"] == []
    assert seen["kills"] >= 80, seen
    assert seen["old"] > 10
    assert seen["new"] > 10


def test_many_may_make_the_same_history_at_once(swift_path: Path) -> None:
    seen = drive("births", swift_path, 8, 10)
    assert seen["well"], seen["stderr"]
    assert seen["found"] == [8] * 10
    assert seen["problems"] == []


def test_threads_and_forked_children_go_on(swift_path: Path) -> None:
    seen = drive("forks", swift_path / "history.db", 4, 20)
    assert seen["well"], seen["stderr"]
    assert seen["counter"] == (2 + 4 + 1) * 20
    assert seen["problems"] == []


def test_a_copy_is_one_moment_while_others_write(swift_path: Path) -> None:
    history = SqliteHistory(swift_path / "history.db")
    drive("race", swift_path / "history.db", swift_path, 0, 0)
    with driving("pay", swift_path / "history.db") as process:
        for number in range(5):
            before = history.log(limit=1)
            while history.log(limit=1) == before:
                assert process.poll() is None
            history.copy_to(swift_path / f"copy-{number}.db")
        said, _ = process.communicate(timeout=30)
    assert json.loads(said)["commits"] > 0
    lengths = []
    for number in range(5):
        copy = SqliteHistory(swift_path / f"copy-{number}.db", create=False)
        assert copy.integrity() == []
        refs = {ref.key: ref.value for ref in copy.scan("account/")}
        assert sum(map(int, refs.values())) == TOTAL * len(ACCOUNTS)
        log = copy.log()
        assert {entry.key: entry.after for entry in reversed(log)} == refs
        lengths.append(len(log))
        copy.close()
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] <= len(history.log())
    history.close()
