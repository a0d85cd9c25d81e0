"""What every keeper of the history promises about its immutable rows; part of :mod:`lepton_ai.testing.refs`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec.structs import replace

from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, History, Move, VersionRow


def version(
    number: int, *, name: str = "v1", first: VersionRow | None = None, record: bytes = b"{}"
) -> VersionRow:
    """A version with a made-up id; with ``first`` a revision of that one."""
    made = hashlib.sha256(b"version %d" % number).digest()
    revision = 1 if first is None else number
    return VersionRow(
        made,
        first.id if first else made,
        revision,
        name,
        "main",
        (b"\1" * 32, b"\2" * 32),
        b"\3" * 32,
        7,
        5,
        record,
    )


def content(number: int, manifest: bytes = b"\7" * 32) -> ContentRow:
    """Where a made-up file is."""
    return ContentRow(hashlib.sha256(b"content %d" % number).digest(), 10 * number, 3 * number, manifest)


class RecordSuite:
    """Needs the fixtures of RefSuite, which inherits it."""

    def test_versions_stay_as_they_were_first_written(
        self, history: History, reopen: Callable[[], History]
    ) -> None:
        """All columns come back; a row that is there already is left alone."""
        plain = version(1, record=bytes(range(256)))
        root = VersionRow(b"\5" * 32, b"\5" * 32, 1, "ü-1", "", (), None, 0, 0, b"")
        history.commit(Commit("tester", "save", versions=(plain, root)))
        history.commit(Commit("tester", "save", versions=(version(1, name="other", record=b"other"), root)))
        for one in (history, reopen()):
            assert one.versions([plain.id, root.id, b"\0" * 32]) == {plain.id: plain, root.id: root}
            assert [row for _, row in one.page()] == [root, plain]

    def test_revisions_in_order(self, history: History) -> None:
        """By number, whatever the order of writing; each version its own."""
        first, other = version(1), version(10, name="w")
        later = [version(number, first=first) for number in (3, 2)]
        history.commit(Commit("tester", "save", versions=(first, other, *later)))
        found = history.revisions([first.id, other.id, later[0].id])
        assert found == {first.id: [first, later[1], later[0]], other.id: [other]}

    def test_named_gives_first_revisions_oldest_first(self, history: History) -> None:
        """Exactly this name, one row for a version with revisions."""
        rows = [version(number, name=name) for number, name in ((5, "v1"), (4, "V1"), (3, "v1"), (2, "v10"))]
        for row in rows:
            history.commit(Commit("tester", "save", versions=(row,)))
        history.commit(Commit("tester", "update", versions=(version(6, first=rows[0]),)))
        assert history.named("v1") == [rows[0], rows[2]]
        assert history.named("v") == []

    def test_find_by_hexadecimal_prefix(self, history: History) -> None:
        """Even and odd lengths, whole ids, at most ``limit``; what is not hexadecimal finds nothing."""
        ids = [
            bytes.fromhex(text.ljust(64, "0")) for text in ("00", "ab", "ab1", "abf", "ac", "ff", "f" * 64)
        ]
        rows = tuple(VersionRow(one, one, 1, "v", "main", (), None, 0, 0, b"") for one in ids)
        history.commit(Commit("tester", "save", versions=rows))
        for prefix in ("", "a", "ab", "ab1", "abf", "0", "f", "ff", "f" * 63, ids[1].hex(), ids[6].hex()):
            assert history.find(prefix, limit=100) == sorted(
                one for one in ids if one.hex().startswith(prefix)
            )
        assert history.find("ab", limit=2) == sorted(ids[1:4])[:2]
        for strange in ("AB", "xyz", " ab", "ab ", "0" * 65, "ä", "%"):
            assert history.find(strange) == []

    def test_page_gives_first_revisions_newest_first(self, history: History) -> None:
        """Numbers fall; pages of any size give the same as everything at once."""
        rows = [version(number) for number in range(20, 30)]
        for number, row in enumerate(rows):
            history.commit(Commit("tester", "save", versions=(row, version(100 + number, first=row))))
        whole = history.page()
        assert [row for _, row in whole] == rows[::-1]
        numbers = [number for number, _ in whole]
        assert numbers == sorted(set(numbers), reverse=True)
        for size in (1, 3, 100):
            pages, before = [], None
            while page := history.page(before=before, limit=size):
                pages.extend(page)
                before = page[-1][0]
            assert pages == whole

    def test_the_newest_content_row_wins(self, history: History, reopen: Callable[[], History]) -> None:
        """Also within one commit; digests may come from any iterable, more than once."""
        old, new = content(1), content(1, b"\x09" * 32)
        history.commit(Commit("tester", "save", contents=(content(2), old)))
        assert history.contents(iter([old.sha256, old.sha256, b"\0" * 32])) == {old.sha256: old}
        history.commit(Commit("tester", "repack", contents=(old, new)))
        for one in (history, reopen()):
            assert one.contents([old.sha256, content(2).sha256]) == {
                old.sha256: new,
                content(2).sha256: content(2),
            }

    def test_a_size_is_told_only_of_the_content_that_was_read(
        self, history: History, reopen: Callable[[], History]
    ) -> None:
        """Nothing else of a row changes, and none comes into being."""
        one, two, newer = content(1), content(2), content(2, b"\x09" * 32)
        history.commit(Commit("tester", "save", contents=(one, newer)))
        sizes = tuple(replace(row, size=77, stored=row.stored + 5) for row in (one, two, content(3)))
        history.commit(Commit("tester", "repack", sizes=sizes))
        for one_of in (history, reopen()):
            found = one_of.contents(row.sha256 for row in sizes)
            assert found == {one.sha256: replace(one, stored=one.stored + 5), two.sha256: newer}

    def test_many_rows_at_once(self, history: History) -> None:
        """A thousand and more of everything in one commit and in one question."""
        rows = tuple(version(number, name=f"v{number}") for number in range(1500))
        contents = tuple(content(number) for number in range(1500))
        moves = tuple(Move(f"version/{row.id.hex()}", ABSENT, b"x") for row in rows)
        history.commit(Commit("tester", "import", moves=moves, versions=rows, contents=contents))
        assert (
            len(history.get([move.key for move in moves]))
            == len(history.versions([row.id for row in rows]))
            == 1500
        )
        assert len(history.contents(row.sha256 for row in contents)) == len(history.log("version/")) == 1500
