"""The record of the code: git decides which commit is newer, people decide between two."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lepton_ai.errors import Diverged, StorageFailed, UsageError
from lepton_ai.history.merging.code import REF, ancestry_in, check_checkout, follow, joined, merge
from lepton_ai.types import Attachment, Code


class Checkout:
    """A git checkout with a commit ``base``, a branch ``left`` and a branch ``right``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "trunk")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")
        self.base = self.commit("train.py", "a\nb\nc\nd\ne\n")
        self.git("switch", "-qc", "right")
        self.right = self.commit("train.py", "a\nb\nc\nd\nE\n")
        self.git("switch", "-qc", "left", self.base)
        self.left = self.commit("train.py", "A\nb\nc\nd\ne\n")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        self.git("add", name)
        self.git("commit", "-qm", "change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


PATCH = Attachment("ab" * 32, 3)


def nobody(older: str, newer: str) -> bool | None:
    return True if older == newer else None


class TestRecord:
    def test_the_descendant_wins_on_either_side(self, checkout: Checkout) -> None:
        known = ancestry_in(checkout.folder)
        old, new = Code(checkout.base), Code(checkout.left)
        assert merge(None, old, new, known).code == merge(None, new, old, known).code == new
        assert merge(None, old, new, known).outcome == "theirs"
        assert merge(None, new, old, known).outcome == "ours"

    def test_diverged_commits_are_a_conflict_and_ours_stands(self, checkout: Checkout) -> None:
        merged = merge(
            Code(checkout.base), Code(checkout.left), Code(checkout.right), ancestry_in(checkout.folder)
        )
        assert (merged.code, merged.outcome, merged.clean) == (Code(checkout.left), "diverged", False)
        assert checkout.left[:12] in merged.said
        assert "different ways" in merged.said

    def test_unknown_commits_are_decided_by_the_base_or_not_at_all(self) -> None:
        a, b, c = Code("a" * 40), Code("b" * 40), Code("c" * 40)
        assert merge(a, a, b, nobody).code == merge(a, b, a, nobody).code == b
        assert merge(a, b, c, nobody).outcome == "unknown"
        assert merge(None, b, c, nobody).outcome == "unknown"

    def test_the_same_commit(self) -> None:
        a = Code("a" * 40, branch="x")
        assert merge(None, a, Code("a" * 40, branch="y"), nobody).code == a
        assert merge(None, None, None, nobody).outcome == "same"

    def test_a_side_that_says_nothing_gives_way(self) -> None:
        a = Code("a" * 40)
        assert merge(None, a, None, nobody).outcome == "ours"
        assert merge(None, None, a, nobody).outcome == "theirs"

    def test_uncommitted_changes_are_not_lost_silently(self, checkout: Checkout) -> None:
        known = ancestry_in(checkout.folder)
        dirty, later = Code(checkout.base, dirty=True, patch=PATCH), Code(checkout.left)
        merged = merge(None, dirty, later, known)
        assert (merged.outcome, merged.code) == ("diverged", dirty)
        assert "uncommitted" in merged.said
        assert merge(dirty, dirty, later, known).code == later
        clean = Code(checkout.base)
        assert merge(None, clean, dirty, known).code == merge(None, dirty, clean, known).code == dirty
        assert not merge(None, dirty, Code(checkout.base, dirty=True), known).clean

    def test_without_a_checkout_nobody_knows(self, tmp_path: Path, checkout: Checkout) -> None:
        elsewhere = tmp_path / "elsewhere"
        assert ancestry_in(elsewhere)(checkout.base, checkout.left) is None
        assert ancestry_in(checkout.folder)(checkout.base, "f" * 40) is None
        assert ancestry_in(checkout.folder)(checkout.left, checkout.base) is False

    @pytest.mark.parametrize("name", ["left", "--all", "HEAD", ""])
    def test_only_commits_are_given_to_git(self, checkout: Checkout, name: str) -> None:
        assert ancestry_in(checkout.folder)(checkout.base, name) is None
        assert ancestry_in(checkout.folder)(name, checkout.left) is None


class TestWithCode:
    def test_git_merges_and_the_checkout_follows(self, checkout: Checkout) -> None:
        with joined(checkout.folder, Code(checkout.left), Code(checkout.right), "both") as commit:
            self.unchanged(checkout)
            assert checkout.git("rev-parse", REF) == commit
        assert follow(checkout.folder, commit) == ""
        assert commit == checkout.git("rev-parse", "HEAD")
        assert (checkout.folder / "train.py").read_text() == "A\nb\nc\nd\nE\n"
        assert checkout.git("log", "-1", "--format=%s %P") == f"both {checkout.left} {checkout.right}"
        assert checkout.git("status", "--porcelain", "-uno") == ""
        assert checkout.git("for-each-ref", REF) == ""

    def test_when_the_block_fails_the_checkout_was_never_touched(self, checkout: Checkout) -> None:
        merging = joined(checkout.folder, Code(checkout.left), Code(checkout.right), "both")
        with pytest.raises(RuntimeError), merging:
            raise RuntimeError
        self.unchanged(checkout)
        assert checkout.git("for-each-ref", REF) == ""

    def test_a_checkout_that_cannot_follow_is_told(self, checkout: Checkout) -> None:
        with joined(checkout.folder, Code(checkout.left), Code(checkout.right), "both") as commit:
            checkout.commit("train.py", "meanwhile\n")
        assert f"git merge --ff-only {commit[:12]} brings the code there" in follow(checkout.folder, commit)
        assert checkout.git("rev-parse", REF) == commit
        assert (checkout.folder / "train.py").read_text() == "meanwhile\n"

    def test_what_is_left_of_a_killed_merge_is_taken_over(self, checkout: Checkout) -> None:
        checkout.git("update-ref", REF, checkout.base)
        with joined(checkout.folder, Code(checkout.left), Code(checkout.right), "both") as commit:
            assert checkout.git("rev-parse", REF) == commit

    def test_theirs_builds_upon_the_checkout(self, checkout: Checkout) -> None:
        """Then git has nothing to merge, and the checkout moves there."""
        with joined(checkout.folder, Code(checkout.base), Code(checkout.left), "both") as commit:
            assert commit == checkout.left
        checkout.git("switch", "-q", "trunk")
        with joined(checkout.folder, Code(checkout.base), Code(checkout.right), "both") as commit:
            assert commit == checkout.right
        assert follow(checkout.folder, commit) == ""
        assert checkout.git("rev-parse", "trunk") == checkout.right

    def test_a_dirty_checkout_is_refused(self, checkout: Checkout) -> None:
        (checkout.folder / "train.py").write_text("edited\n")
        with pytest.raises(UsageError, match="uncommitted"):
            check_checkout(checkout.folder, Code(checkout.left), Code(checkout.right))
        assert (checkout.folder / "train.py").read_text() == "edited\n"

    def test_files_that_git_does_not_know_do_not_matter(self, checkout: Checkout) -> None:
        (checkout.folder / "notes.txt").write_text("mine")
        with joined(checkout.folder, Code(checkout.left), Code(checkout.right), "both") as commit:
            pass
        assert follow(checkout.folder, commit) == ""

    def test_one_in_the_way_is_told_and_nothing_changes(self, checkout: Checkout) -> None:
        checkout.git("switch", "-q", "right")
        right = checkout.commit("notes.txt", "theirs\n")
        checkout.git("switch", "-q", "left")
        (checkout.folder / "notes.txt").write_text("mine")
        with (
            pytest.raises(StorageFailed, match=r"notes\.txt"),
            joined(checkout.folder, Code(checkout.left), Code(right), "both"),
        ):
            pass
        self.unchanged(checkout)

    def test_a_checkout_elsewhere_is_refused(self, checkout: Checkout) -> None:
        checkout.git("switch", "-q", "trunk")
        with pytest.raises(UsageError, match="does not contain"):
            check_checkout(checkout.folder, Code(checkout.left), Code(checkout.right))

    def test_commits_that_are_not_here_are_told(self, checkout: Checkout) -> None:
        with pytest.raises(UsageError, match="has no commit ffffffffffff"):
            check_checkout(checkout.folder, Code(checkout.left), Code("f" * 40))
        with pytest.raises(UsageError, match="no git checkout"):
            check_checkout(checkout.folder / "missing", Code(checkout.left), Code(checkout.right))

    def test_conflicts_are_known_before_anything_changes(self, checkout: Checkout) -> None:
        checkout.git("switch", "-q", "right")
        right = checkout.commit("train.py", "Z\nb\nc\nd\nE\n")
        checkout.git("switch", "-q", "left")
        for act in (check_checkout, lambda *codes: joined(*codes, "both").__enter__()):
            with pytest.raises(Diverged, match=r"conflicts in train\.py"):
                act(checkout.folder, Code(checkout.left), Code(right))
        self.unchanged(checkout)

    def unchanged(self, checkout: Checkout) -> None:
        assert checkout.git("rev-parse", "HEAD") == checkout.left
        assert checkout.git("status", "--porcelain", "-uno") == ""
        assert not (checkout.folder / ".git" / "MERGE_HEAD").exists()
