"""What every keeper of the history promises."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lepton_ai.errors import LostRace, UsageError
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, History, Move, Ref, VersionRow
from lepton_ai.testing.refs_records import RecordSuite, content, version

NOTHING = "nobody/was/here"


def put(
    history: History, key: str, value: bytes | None, *, logged: bool = True, act: str = "put"
) -> Ref | None:
    """Move one key from whatever it is, and tell what it is then."""
    old = history.get([key]).get(key)
    move = Move(key, old.stamp if old else ABSENT, value, logged)
    history.commit(Commit("tester", act, "because", 42, (move,)))
    return history.get([key]).get(key)


class RefSuite(RecordSuite):
    """Subclass it, and define the fixtures ``history`` (fresh, empty) and ``reopen`` (opens the same one again)."""

    threads = 4
    increments = 25

    def test_an_empty_history_has_nothing(self, history: History) -> None:
        """Every question has an empty answer."""
        assert history.get([NOTHING]) == {}
        assert not any(
            (history.scan(""), history.log(), history.page(), history.find(""), history.named("v1"))
        )
        no = [b"\0" * 32]
        assert not any((history.versions(no), history.revisions(no), history.contents(no)))

    def test_get_gives_what_was_put(self, history: History) -> None:
        """Values are any bytes; only keys that exist are answered."""
        for key, value in (("a", b""), ("b/ü/😀", bytes(range(256))), ("null\0inside", b"x" * 100_000)):
            ref = put(history, key, value)
            assert ref is not None
            assert (ref.key, ref.value) == (key, value)
            assert ref.stamp > ABSENT
        assert set(history.get(["a", NOTHING, "b/ü/😀", "a"])) == {"a", "b/ü/😀"}

    def test_a_wrong_stamp_loses_the_race(self, history: History) -> None:
        """Too old, made up, absent though there, there though absent: the error names the key."""
        old = put(history, "branch/main", b"1")
        new = put(history, "branch/main", b"2")
        assert old is not None
        assert new is not None
        wrong = [
            ("branch/main", old.stamp),
            ("branch/main", new.stamp + 1),
            ("branch/main", ABSENT),
            (NOTHING, 1),
        ]
        for key, stamp in wrong:
            with pytest.raises(LostRace, match=key):
                history.commit(Commit("tester", "put", moves=(Move(key, stamp, b"3"),)))
            with pytest.raises(LostRace, match=key):
                history.commit(Commit("tester", "check", checks={key: stamp}))
        assert history.scan("") == [new]

    def test_one_wrong_stamp_changes_nothing(self, history: History) -> None:
        """Neither the right moves, nor the log, nor rows, wherever the wrong one stands."""
        kept = put(history, "kept", b"1")
        assert kept is not None
        log = history.log()
        right = (
            Move("new", ABSENT, b"1"),
            Move("kept", kept.stamp, None),
            Move("unlogged", ABSENT, b"1", logged=False),
        )
        wrong = Move(NOTHING, 99, b"1")
        for moves, checks in (((*right, wrong), {}), ((wrong, *right), {}), (right, {NOTHING: 99})):
            rows = ((version(1),), (content(1),))
            with pytest.raises(LostRace, match=NOTHING):
                history.commit(Commit("tester", "put", "", 1, moves, checks, *rows))
            assert history.scan("") == [kept]
            assert history.log() == log
            assert history.page() == []
            assert not history.versions([version(1).id])
            assert not history.contents([content(1).sha256])

    def test_checks_hold_but_are_not_written(self, history: History) -> None:
        """A check leaves stamp and log as they are, also on a key that is moved in the same commit."""
        seen = put(history, "seen", b"1")
        assert seen is not None
        change = Commit(
            "tester", "put", moves=(Move("other", ABSENT, b"1"),), checks={"seen": seen.stamp, "other": 0}
        )
        history.commit(change)
        assert history.get(["seen"]) == {"seen": seen}
        assert [entry.key for entry in history.log()] == ["other", "seen"]

    def test_stamps_are_never_used_again(self, history: History, reopen: Callable[[], History]) -> None:
        """Not after a delete, not after opening again, not for the same value."""
        seen = set()
        for _ in range(3):
            for value in (b"same", b"same", None):
                ref = put(history, "key", value, logged=False)
                if ref is not None:
                    assert ref.stamp not in seen
                    seen.add(ref.stamp)
            history = reopen()
        stale = Commit("tester", "put", moves=(Move("key", max(seen), b"x"),))
        put(history, "key", b"again")
        with pytest.raises(LostRace):
            history.commit(stale)

    def test_deleting_needs_the_stamp_too(self, history: History) -> None:
        """A delete is a move like any other; deleting what is not there is one as well."""
        ref = put(history, "key", b"1")
        assert ref is not None
        with pytest.raises(LostRace, match="key"):
            history.commit(Commit("tester", "delete", moves=(Move("key", ref.stamp + 1, None),)))
        assert put(history, "key", None) is None
        history.commit(Commit("tester", "delete", moves=(Move("key", ABSENT, None),)))
        assert [(entry.before, entry.after) for entry in history.log()] == [
            (None, None),
            (b"1", None),
            (None, b"1"),
        ]

    def test_scan_is_in_code_point_order(self, history: History) -> None:
        """By prefix, not by case, locale, word or UTF-16; ``%`` and ``_`` are letters."""
        keys = [
            "a",
            "a%b",
            "a/",
            "a/b",
            "a_",
            "aa",
            "ab",
            "B",
            "aé",
            "a\ud7ff",
            "a\ue000",
            "a\uffff",
            "a😀",
            "a\U0010ffff",
        ]
        history.commit(Commit("tester", "put", moves=tuple(Move(key, ABSENT, key.encode()) for key in keys)))
        for prefix in ("", "a", "a/", "a%", "a_", "B", "b", "a\ud7ff", "a😀", "a\U0010ffff", "\U0010ffff"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert [ref.key for ref in history.scan(prefix)] == expected
            for after in ("", "a/", "a/a", "zz", *expected):
                rest = [key for key in expected if key > after]
                assert [ref.key for ref in history.scan(prefix, after=after)] == rest
                assert [ref.key for ref in history.scan(prefix, after=after, limit=2)] == rest[:2]
        assert history.scan("", limit=0) == []

    def test_the_log_tells_every_logged_move(self, history: History, reopen: Callable[[], History]) -> None:
        """Newest first, with who, what, why, when, from and to; leases and the like leave no trace."""
        put(history, "branch/a", b"1", act="save")
        put(history, "lease/x", b"1", logged=False)
        put(history, "branch/a", b"2", act="update")
        put(history, "branch/a", None, act="delete")
        for one in (history, reopen()):
            log = one.log()
            assert [(entry.act, entry.before, entry.after) for entry in log] == [
                ("delete", b"2", None), ("update", b"1", b"2"), ("save", None, b"1"),
            ]  # fmt: skip
            assert {(entry.actor, entry.why, entry.at, entry.key) for entry in log} == {
                ("tester", "because", 42, "branch/a")
            }
            assert log[0].number > log[1].number > log[2].number

    def test_a_log_without_a_time_takes_the_time(self, history: History) -> None:
        """``at`` is 0 when the caller leaves it to the history."""
        history.commit(Commit("tester", "put", moves=(Move("key", ABSENT, b"1"),)))
        assert history.log()[0].at > 1_700_000_000_000_000

    def test_the_log_is_paged_by_prefix(self, history: History) -> None:
        """Pages of any size give the same as everything at once, for folders, keys and half names."""
        keys = [
            "branch/main",
            "branch/map",
            "branch/main/x",
            "branch",
            "tag/main",
            "branch/main",
            "é/😀",
            "/",
            "branch/",
        ]
        for key in keys * 2:
            put(history, key, b"x")
        whole = history.log()
        assert [entry.key for entry in reversed(whole)] == keys * 2
        for prefix in (
            "",
            "b",
            "branch",
            "branch/",
            "branch/ma",
            "branch/main",
            "branch/main/",
            "tag/",
            "é",
            "/",
            "no",
        ):
            expected = [entry for entry in whole if entry.key.startswith(prefix)]
            assert history.log(prefix) == expected
            for size in (1, 2, 5, 100):
                pages, before = [], None
                while page := history.log(prefix, before=before, limit=size):
                    pages.extend(page)
                    before = page[-1].number
                assert pages == expected
        assert history.log(limit=0) == history.log("branch/", limit=0) == []

    @pytest.mark.parametrize(
        "change",
        [
            Commit("t", "twice", moves=(Move("key", ABSENT, b"1"), Move("key", ABSENT, b"2"))),
            Commit("t", "empty key", moves=(Move("fine", ABSENT, b"1"), Move("", ABSENT, b"2"))),
            Commit("t", "empty check", moves=(Move("fine", ABSENT, b"1"),), checks={"": ABSENT}),
            Commit("t", "no unicode", moves=(Move("fine", ABSENT, b"1"), Move("\ud800", ABSENT, b"2"))),
            Commit("t", "no unicode", why="\udcff", moves=(Move("fine", ABSENT, b"1"),)),
            Commit("t", "a number", at=1 << 63, moves=(Move("fine", ABSENT, b"1"),)),
            Commit("t", "short id", versions=(VersionRow(b"1", b"1", 1, "v", "", (), None, 0, 0, b""),)),
            Commit("t", "short digest", contents=(ContentRow(b"1", 0, 0, b""),)),
            Commit("t", "a first of its own", versions=(version(1, first=version(2)),)),
        ],
        ids=lambda change: change.act,
    )
    def test_what_cannot_be_kept_is_refused(self, history: History, change: Commit) -> None:
        """A plain error, before anything is written."""
        with pytest.raises(UsageError):
            history.commit(change)
        assert not any((history.scan(""), history.log(), history.page()))

    def test_questions_that_make_no_sense_are_refused(self, history: History) -> None:
        """A plain error as well."""
        for ask in (
            lambda: history.get([""]), lambda: history.get(["\ud800"]), lambda: history.scan("\ud800"),
            lambda: history.scan("", after="\ud800"), lambda: history.scan("", limit=-1), lambda: history.log(limit=-1),
            lambda: history.page(limit=-1), lambda: history.find("a", limit=-1), lambda: history.named("\ud800"),
        ):  # fmt: skip
            with pytest.raises(UsageError):
                ask()

    def test_a_page_may_begin_anywhere(self, history: History) -> None:
        """Before everything and beyond every number that was given."""
        history.commit(Commit("tester", "save", "", 1, (Move("key", ABSENT, b"1"),), versions=(version(1),)))
        for before in (0, -5):
            assert not history.log(before=before)
            assert not history.page(before=before)
        for before in (1 << 62, 1 << 70):
            assert len(history.log(before=before)) == len(history.page(before=before)) == 1

    def test_threads_lose_no_increment(self, history: History) -> None:
        """A counter behind compare-and-set, raced for by several threads, ends at the number of increments."""
        failures: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(self.increments):
                    increment(history, "counter")
            except BaseException as problem:  # noqa: BLE001  (shown to the test's own thread below)
                failures.append(problem)

        workers = [threading.Thread(target=work) for _ in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not failures
        total = self.threads * self.increments
        assert history.get(["counter"])["counter"].value == b"%d" % total
        assert [entry.after for entry in history.log("counter")] == [b"%d" % n for n in range(total, 0, -1)]


def increment(history: History, key: str) -> int:
    """Add one to a decimal number behind ``key``; read it again whenever somebody else was faster."""
    while True:
        ref = history.get([key]).get(key)
        number = int(ref.value) + 1 if ref else 1
        try:
            history.commit(
                Commit(
                    "tester", "increment", moves=(Move(key, ref.stamp if ref else ABSENT, b"%d" % number),)
                )
            )
        except LostRace:
            continue
        return number
