"""Tables, their steps, and what opening and asking cost."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged
from lepton_ai.history.refs import schema
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.holder import Note
from lepton_ai.history.refs.migrations import MIGRATIONS
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import put
from lepton_ai.testing.refs_records import content, version
from tests.history.refs.migrants import second_step


@pytest.fixture
def path(swift_path: Path) -> Path:
    return swift_path / "history.db"


def fill(history: SqliteHistory, versions: int) -> None:
    rows = tuple(version(number, name=f"v{number}") for number in range(versions))
    moves = tuple(Move(f"version/{row.id.hex()}", ABSENT, b"x") for row in rows)
    contents = tuple(content(number) for number in range(versions))
    history.commit(Commit("t", "save", moves=moves, versions=rows, contents=contents))
    for number in range(3):
        put(history, "branch/main", b"%d" % number)


def ask(history: SqliteHistory) -> None:
    """Every question of the contract, about a handful of things."""
    rows = [version(number) for number in (1, 2, 3)]
    history.get(["branch/main", f"version/{rows[0].id.hex()}", "no"])
    for prefix in ("", "branch/", "branch/main", "bra", "\U0010ffff"):
        history.scan(prefix, limit=3)
        history.scan(prefix, after="branch/l", limit=3)
        history.log(prefix, limit=3)
        history.log(prefix, before=1 << 40, limit=3)
    history.versions([row.id for row in rows])
    history.revisions([row.id for row in rows])
    history.named("v1")
    history.find(rows[0].id.hex()[:5])
    history.find("", limit=3)
    history.page(limit=3)
    history.page(before=1 << 40, limit=3)
    history.contents([content(number).sha256 for number in (1, 2, 3)])
    put(history, "branch/main", b"again")
    checks = {"branch/main": history.get(["branch/main"])["branch/main"].stamp}
    new_rows = ((version(1), version(5000)), (content(1),))
    history.commit(Commit("t", "save", "", 1, (Move("new", ABSENT, b"1"),), checks, *new_rows))
    put(history, "new", None)


def statements(history: SqliteHistory) -> list[str]:
    """What ``ask`` makes SQLite do, with its values put in."""
    said: list[str] = []
    with history._database.reading() as db:
        db.set_trace_callback(said.append)
    ask(history)
    with history._database.reading() as db:
        db.set_trace_callback(None)
    return [one for one in said if not re.match(r"BEGIN|COMMIT|PRAGMA|ROLLBACK|--", one)]


def test_no_question_scans_or_sorts(path: Path) -> None:
    with closing(SqliteHistory(path)) as history:
        fill(history, 50)
        asked = statements(history)
        assert len(asked) > 50
        with history._database.reading() as db:
            for one in asked:
                if one.startswith(("SELECT stamp FROM counter", "UPDATE counter")):
                    continue  # its one row
                plan = " / ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {one}"))
                assert not re.search(r"SCAN|TEMP B-TREE|AUTOMATIC", plan), f"{one}: {plan}"
                assert "SEARCH" in plan or one.startswith("INSERT"), f"{one}: {plan}"


def test_a_thousand_versions_cost_the_same_work_as_ten(swift_path: Path) -> None:
    """Counted in steps of SQLite's machine (each row read or written takes several), not in time."""

    def work(versions: int) -> tuple[int, int]:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        with closing(SqliteHistory(swift_path / f"{versions}.db")) as history:
            fill(history, versions)
            with history._database.reading() as db:
                db.set_progress_handler(count, 1)
            ask(history)
            return steps, len(statements(history))

    few, many = work(10), work(1000)
    assert few[1] == many[1]
    assert many[0] < few[0] * 1.1


def test_pages_skip_revisions_without_reading_them(path: Path) -> None:
    """A version that is updated a thousand times does not stand between the newest and the one before."""
    with closing(SqliteHistory(path)) as history:
        first = version(1)
        updates = tuple(version(number, first=first) for number in range(2, 1002))
        history.commit(Commit("t", "save", versions=(version(5000), first, *updates)))
        steps: list[int] = []
        with history._database.reading() as db:
            db.set_progress_handler(lambda: steps.append(1), 1)
        assert len(history.page(limit=2)) == 2
        assert len(steps) < 200


def test_opening_a_current_history_writes_nothing(path: Path) -> None:
    with closing(SqliteHistory(path)) as history:
        fill(history, 3)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.parent.iterdir()}
    with closing(SqliteHistory(path, create=False)) as history:
        assert history.get(["branch/main"])
    assert {
        file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.parent.iterdir()
    } == before
    assert "backups" not in before


def test_it_runs_as_durably_as_promised(path: Path) -> None:
    with closing(SqliteHistory(path)) as history, history._database.reading() as db:
        found = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "fullfsync",
                "mmap_size",
                "application_id",
            )
        }
    assert found == {
        "journal_mode": "persist", "synchronous": 2, "foreign_keys": 1, "fullfsync": 1, "mmap_size": 0,
        "application_id": int.from_bytes(b"LAIH", "big"),
    }  # fmt: skip


TRACED = """
import sys
from pathlib import Path
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
history = SqliteHistory(Path(sys.argv[1]))
history.commit(Commit("t", "t", moves=(Move("a", ABSENT, b"1"),)))
print("begin", file=sys.stderr, flush=True)
history.commit(Commit("t", "t", moves=(Move("b", ABSENT, b"1"),)))
print("end", file=sys.stderr, flush=True)
"""


def test_a_commit_is_on_the_disk_when_it_returns(path: Path, tmp_path: Path) -> None:
    """In the trace of system calls: journal synced, then the database written and synced, then the journal ended and
    synced; nothing of either file is left unsynced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    out = tmp_path / "trace"
    calls = "trace=pwrite64,write,fsync,fdatasync,unlink,unlinkat,ftruncate"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(out), sys.executable, "-c", TRACED, str(path)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    lines = out.read_text().splitlines()
    begin, end = (next(n for n, line in enumerate(lines) if f'"{word}' in line) for word in ("begin", "end"))
    found = re.findall(r"(\w+)\(\d+<[^>]*/(history\.db(?:-journal)?)>", "\n".join(lines[begin:end]))
    acts = [("sync" if "sync" in call else "write", name) for call, name in found]
    database, journal = "history.db", "history.db-journal"
    assert not [line for line in lines[begin:end] if "unlink" in line]
    assert acts[-2:] == [("write", journal), ("sync", journal)]
    first = acts.index(("write", database))
    last = max(n for n, act in enumerate(acts) if act == ("write", database))
    assert acts[first - 1] == ("sync", journal)
    assert acts[last + 1] == ("sync", database)
    assert acts[last + 2 :] == acts[-2:]


class TestSteps:
    def test_steps_are_numbered_by_their_place(self, path: Path) -> None:
        SqliteHistory(path).close()
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        names = [step.__module__.rpartition(".")[2] for step in MIGRATIONS]
        assert [int(name[1:5]) for name in names] == list(range(1, len(MIGRATIONS) + 1))

    def test_tables_of_form_one_are_these_forever(self, path: Path) -> None:
        """A released step is never changed: append a new one."""
        SqliteHistory(path).close()
        with closing(sqlite3.connect(path)) as db:
            MIGRATIONS_ONE = {row[0]: row[1] for row in db.execute("SELECT name, type FROM sqlite_master")}
        assert {name for name, kind in MIGRATIONS_ONE.items() if kind == "table"} == {
            "counter", "refs", "log", "log_under", "versions", "contents",
        }  # fmt: skip

    def test_a_copy_is_kept_before_a_step(self, path: Path) -> None:
        with closing(SqliteHistory(path)) as history:
            fill(history, 5)
            before = history.scan(""), history.log(), history.page()
        bring_up_to_date(path, (*MIGRATIONS, second_step))
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == 2
        copy = path.parent / "backups" / "history.db.before-2"
        assert [file.name for file in copy.parent.iterdir()] == [copy.name]
        with closing(SqliteHistory(copy, create=False)) as history:
            assert (history.scan(""), history.log(), history.page()) == before
            assert history.integrity() == []

    def test_no_copy_before_the_first_step(self, path: Path) -> None:
        SqliteHistory(path).close()
        assert not (path.parent / "backups").exists()

    def test_a_step_that_breaks_references_is_undone(self, path: Path) -> None:
        def careless(db: sqlite3.Connection) -> None:
            db.execute("DROP TRIGGER log_refuses_delete")
            db.execute("DELETE FROM log")

        with closing(SqliteHistory(path)) as history:
            fill(history, 2)
            log = history.log()
        with pytest.raises(Damaged, match="step 2 would leave"):
            bring_up_to_date(path, (*MIGRATIONS, careless))
        with closing(SqliteHistory(path)) as history:
            assert history.log() == log
            assert history.integrity() == []

    def test_a_failing_step_is_undone(self, path: Path) -> None:
        def failing(db: sqlite3.Connection) -> None:
            second_step(db)
            raise KeyboardInterrupt

        with closing(SqliteHistory(path)) as history:
            fill(history, 2)
        with pytest.raises(KeyboardInterrupt):
            bring_up_to_date(path, (*MIGRATIONS, failing))
        with closing(SqliteHistory(path)) as history:
            assert history.integrity() == []
            assert len(history.page()) == 2

    def test_a_damaged_history_is_not_migrated(self, path: Path) -> None:
        with closing(SqliteHistory(path)) as history:
            fill(history, 60)
        data = bytearray(path.read_bytes())
        data[-4096 : -4096 + 64] = b"\xff" * 64
        path.write_bytes(data)
        with pytest.raises(Damaged):
            bring_up_to_date(path, (*MIGRATIONS, second_step))
        assert path.read_bytes() == data
        assert not list((path.parent / "backups").iterdir())


def bring_up_to_date(path: Path, steps: tuple[schema.Migration, ...]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.bring_up_to_date(db, path, Note(path), steps)


def test_import_is_light() -> None:
    code = "import sys, lepton_ai.history.refs.sqlite; print({'numpy', 'sqlalchemy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
