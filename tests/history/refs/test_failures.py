"""What goes wrong around the embedded history comes out as one plain error of ours, and loses nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    LeptonError,
    NoSpace,
    StorageFailed,
    TooNew,
    UsageError,
)
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import put
from lepton_ai.testing.refs_records import content, version
from tests.history.refs.processes import drive, driving


@pytest.fixture
def path(swift_path: Path) -> Path:
    return swift_path / "history.db"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "history.db"
    with closing(SqliteHistory(path)) as history:
        for number in range(40):
            put(history, f"branch/{number % 7}", b"%d" % number)
        rows = tuple(version(number, name=f"v{number % 5}") for number in range(40))
        contents = tuple(content(number) for number in range(40))
        history.commit(Commit("t", "save", versions=rows, contents=contents))
    return path


@pytest.fixture
def filled(path: Path, template: Path) -> Path:
    """A small history with some of everything."""
    shutil.copyfile(template, path)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a process without rights can reach (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


class TestBusy:
    def test_names_the_process_that_writes(self, path: Path) -> None:
        with closing(SqliteHistory(path, timeout=0.2)) as history:
            put(history, "key", b"1")
            with driving("hold", path) as holder:
                with pytest.raises(
                    Busy, match=rf"process {holder.pid} \(driver.py, user .+\) has held it since \d\d:"
                ):
                    put(history, "key", b"2")
                assert history.get(["key"])["key"].value == b"1"  # readers need not wait
            ref = put(history, "key", b"2")
            assert ref is not None
            assert ref.value == b"2"

    def test_does_not_name_a_dead_process(self, path: Path) -> None:
        with closing(SqliteHistory(path, timeout=0.1)) as history, driving("hold", path) as holder:
            ended = subprocess.Popen(["true"])
            ended.wait()
            note = path.with_name("history.db.holder")
            note.write_bytes(note.read_bytes().replace(b"%d" % holder.pid, b"%d" % ended.pid))
            with pytest.raises(Busy, match="another process holds it"):
                put(history, "key", b"1")

    @pytest.mark.parametrize("lie", [b"", b"{", b"\xff" * 5000, b'{"pid":"x"}', b"[]", b'{"pid":1}'])
    def test_a_broken_note_does_no_harm(self, path: Path, lie: bytes) -> None:
        with closing(SqliteHistory(path, timeout=0.1)) as history, driving("hold", path):
            path.with_name("history.db.holder").write_bytes(lie)
            with pytest.raises(Busy, match="another process"):
                put(history, "key", b"1")

    def test_a_note_that_cannot_be_kept_does_no_harm(self, path: Path) -> None:
        path.with_name("history.db.holder").mkdir()
        with closing(SqliteHistory(path)) as history:
            assert put(history, "key", b"1") is not None

    def test_a_foreign_host_is_named(self, path: Path) -> None:
        with closing(SqliteHistory(path, timeout=0.1)) as history, driving("hold", path):
            said = {
                "pid": 1 << 30,
                "host": "elsewhere",
                "user": "anna",
                "command": "lepton gc",
                "since": time.time(),
            }
            path.with_name("history.db.holder").write_bytes(json.dumps(said).encode())
            with pytest.raises(Busy, match=r"process 1073741824 on elsewhere \(lepton gc, user anna\)"):
                put(history, "key", b"1")

    def test_another_handle_of_this_process(self, path: Path) -> None:
        with closing(SqliteHistory(path, timeout=0.1)) as history, closing(SqliteHistory(path)) as other:
            with other._database.writing(), pytest.raises(Busy, match=f"this very process {os.getpid()}"):
                put(history, "key", b"1")
            with history._database.writing(), pytest.raises(Busy, match="another thread"):
                history.get(["key"])

    def test_a_reader_that_does_not_finish_is_told(self, path: Path) -> None:
        with closing(SqliteHistory(path, timeout=0.2)) as history:
            with driving("read_on", path), pytest.raises(Busy, match="is reading it"):
                put(history, "key", b"1")
            assert history.get(["key"]) == {}
            assert history.log() == []

    def test_the_note_is_taken_back(self, path: Path) -> None:
        with closing(SqliteHistory(path)) as history:
            put(history, "key", b"1")
            assert history._database._note.holder() is None


class TestNoSpace:
    def test_a_full_database_keeps_what_it_has(self, filled: Path) -> None:
        with closing(SqliteHistory(filled)) as history:
            before = history.scan(""), history.log()
            with history._database.reading() as db:
                db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
            big = Commit("t", "t", moves=(Move("big", ABSENT, bytes(100_000)),), versions=(version(999),))
            with pytest.raises(NoSpace, match="full"):
                history.commit(big)
            assert (history.scan(""), history.log()) == before
            history.commit(big)  # the failure opened it anew, and now there is room
            assert history.integrity() == []

    def test_a_full_disk_keeps_what_it_has(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip(f"only root may mount a small disk here: {mounted.stderr.strip()}")
        try:
            with closing(SqliteHistory(disk / "history.db")) as history:
                kept: list[int] = []
                with pytest.raises(NoSpace, match="full"):
                    fill_up(history, kept)
                number = len(kept)
                assert number > 5
                with pytest.raises(NoSpace):
                    history.commit(Commit("t", "t", moves=(Move("more", ABSENT, bytes(50_000)),)))
                with pytest.raises(NoSpace):
                    history.copy_to(disk / "copy.db")
                assert {file.name for file in disk.iterdir()} <= {
                    "history.db",
                    "history.db-journal",
                    "history.db.holder",
                }
                assert len(history.scan("key/")) == len(history.log()) == number
                assert history.integrity() == []
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def fill_up(history: SqliteHistory, kept: list[int]) -> None:
    for number in range(10_000):
        history.commit(Commit("t", "t", moves=(Move(f"key/{number}", ABSENT, bytes(2000)),)))
        kept.append(number)


class TestRefused:
    def test_a_file_that_may_not_grow(self, path: Path) -> None:
        seen = drive("limited", path)
        assert seen["answer"].startswith("storage-failed")
        assert seen["kept"] == seen["found"] > 10
        assert seen["problems"] == []

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_without_the_right_to_write(self, open_folder: Path, what: str) -> None:
        with closing(SqliteHistory(open_folder / "history.db")) as history:
            put(history, "key", b"1")
        for file in open_folder.iterdir():
            file.chmod(0o444 if what == "file" else 0o666)
        open_folder.chmod(0o777 if what == "file" else 0o555)
        if what == "folder":
            open_folder.joinpath("history.db-journal").unlink()
        seen = drive("refused", open_folder, what)
        assert (seen["read"], seen["again"]) == ("fine", "fine")
        assert seen["write"].startswith("storage-failed")

    def test_a_folder_where_nothing_can_be_made(self, open_folder: Path) -> None:
        open_folder.chmod(0o555)
        assert drive("refused", open_folder, "missing")["open"].startswith("storage-failed")

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StorageFailed, match="no/such"):
            SqliteHistory(tmp_path / "no/such/history.db")

    def test_a_folder_in_its_place(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(StorageFailed):
            SqliteHistory(path)


class TestDamaged:
    def test_a_missing_or_empty_history_is_not_made_anew(self, path: Path) -> None:
        with pytest.raises(Damaged, match="missing"):
            SqliteHistory(path, create=False)
        assert not path.exists()
        path.touch()
        with pytest.raises(Damaged, match="empty"):
            SqliteHistory(path, create=False)
        assert path.stat().st_size == 0

    def test_another_programs_database(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE theirs (a)")
        before = path.read_bytes()
        with pytest.raises(Damaged, match="another program"):
            SqliteHistory(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 1")
        with pytest.raises(Damaged, match="another program"):
            SqliteHistory(path)
        assert len(path.read_bytes()) == len(before)

    @pytest.mark.parametrize("data", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
    def test_no_database_at_all(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        with pytest.raises(Damaged, match=r"damaged: .*backups"):
            SqliteHistory(path)
        assert path.read_bytes() == data

    def test_a_later_form(self, filled: Path) -> None:
        with closing(sqlite3.connect(filled)) as db:
            db.execute("PRAGMA user_version = 7")
        with pytest.raises(TooNew, match=r"form 7.*upgrade"):
            SqliteHistory(filled)

    def test_a_later_form_while_it_is_open(self, filled: Path) -> None:
        with closing(SqliteHistory(filled)) as history:
            log = history.log()
            with closing(sqlite3.connect(filled)) as db:
                db.execute("PRAGMA user_version = 7")
            with pytest.raises(TooNew):
                history.log()
            with pytest.raises(TooNew):
                put(history, "branch/1", b"old ways")
            with closing(sqlite3.connect(filled)) as db:
                db.execute("PRAGMA user_version = 1")
            assert history.log() == log

    def test_a_file_that_is_replaced_or_removed_while_it_is_open(self, filled: Path) -> None:
        with closing(SqliteHistory(filled)) as history:
            other = filled.with_name("other.db")
            history.copy_to(other)
            put(history, "only/here", b"1")
            other.replace(filled)
            change = Commit("t", "t", moves=(Move("branch/9", ABSENT, b"1"),))
            with pytest.raises(StorageFailed):
                history.commit(change)  # it would have gone to a file without a name
            history.commit(change)
            assert history.get(["only/here", "branch/9"]).keys() == {"branch/9"}
            filled.unlink()
            with pytest.raises(StorageFailed):
                put(history, "branch/9", None)
            with pytest.raises(Damaged, match="missing"):
                history.scan("")
            assert not filled.exists()

    def test_a_lost_table(self, filled: Path) -> None:
        with closing(sqlite3.connect(filled)) as db:
            db.execute("DROP TABLE refs")
        with closing(SqliteHistory(filled)) as history, pytest.raises(Damaged, match="no such table"):
            history.scan("")

    def test_a_cut_file(self, filled: Path) -> None:
        os.truncate(filled, filled.stat().st_size // 2)
        with pytest.raises(Damaged), closing(SqliteHistory(filled)) as history:
            ask_everything(history)

    @pytest.mark.parametrize(("column", "value"), [("value", "text"), ("value", 1.5), ("stamp", b"x")])
    def test_a_value_of_another_type(self, filled: Path, column: str, value: object) -> None:
        with closing(sqlite3.connect(filled, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.execute(f"UPDATE refs SET {column} = ? WHERE key = 'branch/1'", (value,))
        with closing(SqliteHistory(filled)) as history:
            with pytest.raises(Damaged):
                history.scan("")
            assert history.integrity()

    def test_an_index_out_of_order_ends_the_question(self, filled: Path) -> None:
        with closing(sqlite3.connect(filled)) as db:
            db.execute("DROP TABLE log_under")
            columns = "prefix TEXT COLLATE NOCASE, number INTEGER, PRIMARY KEY (prefix, number)"
            db.execute(f"CREATE TABLE log_under ({columns}) WITHOUT ROWID")
            db.execute("INSERT INTO log_under VALUES ('BRANCH', 1)")
            db.commit()
        with closing(SqliteHistory(filled)) as history, pytest.raises(Damaged, match="out of order"):
            history.log("bra")

    def test_flipped_bytes_never_raise_anything_else(self, filled: Path, tmp_path: Path) -> None:
        """Right answers, wrong values or one plain error (SQLite has no checksums), but no foreign error, no hang."""
        rng = random.Random(3)
        whole = filled.read_bytes()
        refused = 0
        for number in range(150):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 4, 64))):
                data[rng.randrange(len(data))] = rng.randrange(256)
            broken = tmp_path / f"{number}.db"
            broken.write_bytes(data)
            try:
                with closing(SqliteHistory(broken, timeout=0.1)) as history:
                    ask_everything(history)
                    put(history, "branch/new", b"1")
                    history.integrity()
            except LeptonError:
                refused += 1
        assert refused > 20


def ask_everything(history: SqliteHistory) -> None:
    ids = [row.id for _, row in history.page()]
    history.versions(ids)
    history.revisions(ids)
    history.named("v1")
    history.find("")
    history.contents([content(number).sha256 for number in range(40)])
    history.get([ref.key for ref in history.scan("")])
    history.log()
    history.log("branch/")
    history.log("bra")


class TestIntegrity:
    @pytest.mark.parametrize(
        ("harm", "said"),
        [
            (
                "UPDATE refs SET value = x'00' WHERE key = 'branch/3'",
                "'branch/3' has another value than the log says",
            ),
            ("UPDATE counter SET stamp = 3", "a stamp that was not given out yet"),
            ("DELETE FROM counter", "a stamp that was not given out yet"),
            ("DELETE FROM log WHERE number = 4", "of log_under names a row of log that is missing"),
            ("DELETE FROM log_under WHERE number = 4", "move 4 is missing from the log's index"),
            (
                "INSERT INTO versions SELECT NULL, zeroblob(32), randomblob(32), 2, '', '', x'', NULL, 0, 0, x''",
                "a first revision that is missing",
            ),
            (
                "UPDATE versions SET id = x'00' WHERE sequence = 2",
                "SQLite: CHECK constraint failed in versions",
            ),
        ],
    )
    def test_says_what_is_wrong(self, filled: Path, harm: str, said: str) -> None:
        with closing(sqlite3.connect(filled, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {trigger}")
            db.execute(harm)
        with closing(SqliteHistory(filled)) as history:
            assert any(said in problem for problem in history.integrity()), history.integrity()

    def test_a_broken_page(self, filled: Path) -> None:
        data = bytearray(filled.read_bytes())
        data[-4096 : -4096 + 64] = b"\xff" * 64
        filled.write_bytes(data)
        with closing(SqliteHistory(filled)) as history:
            assert history.integrity()

    @pytest.mark.parametrize("table", ["log", "log_under", "versions"])
    def test_what_is_kept_forever_cannot_be_changed(self, filled: Path, table: str) -> None:
        column = "number" if table != "versions" else "name"
        with closing(sqlite3.connect(filled)) as db:
            for harm in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):
                with pytest.raises(sqlite3.IntegrityError, match="kept forever"):
                    db.execute(harm)


def test_a_closed_history_says_so(path: Path) -> None:
    history = SqliteHistory(path)
    history.close()
    history.close()
    with pytest.raises(UsageError, match="closed"):
        history.get(["key"])


def test_a_copy_overwrites_nothing(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_bytes(b"mine")
    with closing(SqliteHistory(filled)) as history:
        with pytest.raises(AlreadyExists):
            history.copy_to(target)
        with pytest.raises(StorageFailed):
            history.copy_to(tmp_path / "no/such/copy.db")
        history.commit(Commit("t", "t", contents=(ContentRow(bytes(32), 1, 1, b""),)))
    assert target.read_bytes() == b"mine"
    assert not list(tmp_path.glob("*.partial"))
