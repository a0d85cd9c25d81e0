"""Versions that were updated at both ends: what only one changed is taken, the rest is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.errors import Diverged, UsageError


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ModelRepository]:
    """With v1 and v2, which the remote has too."""
    (tmp_path / "a.bin").write_bytes(b"a" * 5000)
    with ModelRepository(tmp_path / "ours", author="ada") as repo:
        repo.add_remote("origin", tmp_path / "theirs")
        repo.save_files([tmp_path / "a.bin"], metrics={"loss": 0.5}, params={"lr": 0.1, "epochs": 3})
        (tmp_path / "a.bin").write_bytes(b"b" * 5000)
        repo.save_files([tmp_path / "a.bin"], metrics={"loss": 0.4}, message="second")
        repo.push()
        yield repo


@pytest.fixture
def theirs(ours: ModelRepository, tmp_path: Path) -> Iterator[ModelRepository]:
    with ModelRepository(tmp_path / "theirs", create=False, author="bob") as repo:
        yield repo


def everywhere(ours: ModelRepository, theirs: ModelRepository, name: str) -> None:
    """Both ends are the same, and whole."""
    assert ours.version(name).id == theirs.version(name).id
    for repo in (ours, theirs):
        assert (
            repo.lines.branch("main").head == repo.lines.version(repo.lines.branch("main").head or b"").newest
        )
        assert repo.verify().clean
    again = ours.push()
    assert (again.branches, again.versions, again.bytes) == ((), (), 0)
    assert ours.pull().versions == ()


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_what_one_side_alone_changed_is_taken(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path, name: str
) -> None:
    """Of the branch's newest version, and of one below."""
    before = ours.version(name)
    mine = ours.update_version(name, metrics={**before.metrics, "f1": 0.9}, dataset="digits")
    other = theirs.update_version(name, metrics={**before.metrics, "auc": 0.8}, message="looked at")
    ours.tag("seen", mine)
    with pytest.raises(Diverged, match=rf"version '{name}' was updated here and in .*lepton pull"):
        ours.push()
    pulled = ours.pull()
    assert pulled.notes == (f"{name} was updated in both places; it has what both changed",)
    made = ours.version(name)
    assert made.metrics == {**before.metrics, "f1": 0.9, "auc": 0.8}
    assert made.record.dataset is not None
    assert (made.record.message, made.record.dataset.name) == ("looked at", "digits")
    assert [one.id for one in ours.revisions(made)] == [before.id, other.id, made.id]
    assert ours.version(f"{name}~2").id == other.id
    assert ours.version(mine.id).metrics == mine.metrics  # what was updated here stays, under its id
    assert ours.tags()["seen"].id == mine.id
    ours.push()
    everywhere(ours, theirs, name)
    assert theirs.tags()["seen"].id == mine.id


def test_a_branch_that_goes_on_behind_an_update_is_not_torn(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    """Each end updates the newest version; one of them saves another upon it."""
    ours.update_version("v2", metrics={"loss": 0.4, "f1": 0.9})
    theirs.update_version("v2", metrics={"loss": 0.4, "auc": 0.8})
    (tmp_path / "a.bin").write_bytes(b"c" * 5000)
    theirs.save_files([tmp_path / "a.bin"], message="third")
    assert ours.pull().branches == ("main",)
    assert [info.name for info in ours.list_versions("main")] == ["v1", "v2", "v3"]
    (tmp_path / "a.bin").write_bytes(b"d" * 5000)
    ours.save_files([tmp_path / "a.bin"], message="fourth")
    assert ours.push().branches == ("main",)
    assert [info.name for info in theirs.list_versions("main")] == ["v1", "v2", "v3", "v4"]
    assert theirs.version("v2").metrics == {"loss": 0.4, "f1": 0.9, "auc": 0.8}
    everywhere(ours, theirs, "v4")


def test_ours_goes_on_behind_an_update_and_can_be_pushed(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    ours.update_version("v2", metrics={"loss": 0.4, "f1": 0.9})
    (tmp_path / "a.bin").write_bytes(b"c" * 5000)
    ours.save_files([tmp_path / "a.bin"], message="third")
    theirs.update_version("v2", metrics={"loss": 0.4, "auc": 0.8})
    assert ours.pull().apart == ()
    assert ours.push().branches == ("main",)
    everywhere(ours, theirs, "v3")


def test_the_same_key_with_two_values_is_told_and_can_be_chosen(
    ours: ModelRepository, theirs: ModelRepository
) -> None:
    ours.update_version("v1", metrics={"loss": 0.3}, params={"lr": 0.2, "epochs": 3})
    theirs.update_version("v1", metrics={"loss": 0.2}, params={"lr": 0.1, "epochs": 4})
    refs = ours.home.history.scan("version/")
    with pytest.raises(Diverged) as refused:
        ours.pull()
    assert refused.value.message == (
        "version 'v1' was updated here and in origin: metric 'loss' is 0.3 here and 0.2 there"
    )
    assert refused.value.hint == "lepton pull --updates mine, or theirs"
    assert ours.home.history.scan("version/") == refs
    with pytest.raises(UsageError, match="no side of an update"):
        ours.pull(updates="yours")  # type: ignore[arg-type]
    assert ours.pull(updates="mine", dry_run=True).notes
    assert ours.home.history.scan("version/") == refs
    ours.pull(updates="mine")
    assert ours.version("v1").metrics == {"loss": 0.3}
    assert ours.version("v1").params == {"lr": 0.2, "epochs": 4}
    ours.push()
    everywhere(ours, theirs, "v1")


def test_theirs_can_be_chosen_and_a_removed_key_is_a_change(
    ours: ModelRepository, theirs: ModelRepository
) -> None:
    ours.update_version("v1", params={"lr": 0.1}, message="mine")
    theirs.update_version("v1", params={"lr": 0.1, "epochs": 5}, message="theirs")
    with pytest.raises(Diverged, match=r"param 'epochs' is nothing here and 5 there \(and 1 more\)"):
        ours.pull()
    ours.pull(updates="theirs")
    assert ours.version("v1").params == {"lr": 0.1, "epochs": 5}
    assert ours.version("v1").id == theirs.version("v1").id
    ours.push()
    everywhere(ours, theirs, "v1")


def test_other_files_on_both_sides_are_told(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    for repo, content in ((ours, b"x"), (theirs, b"y")):
        (tmp_path / "a.bin").write_bytes(content * 7000)
        repo.update_version("v2", tmp_path / "a.bin")
    with pytest.raises(Diverged, match="files differ"):
        ours.pull()
    ours.pull(updates="mine")
    out = tmp_path / "out"
    ours.checkout("v2", out)
    assert (out / "a.bin").read_bytes() == b"x" * 7000
    ours.push()
    theirs.checkout("v2", out, force=True)
    assert (out / "a.bin").read_bytes() == b"x" * 7000
    everywhere(ours, theirs, "v2")


def test_the_same_update_on_both_sides_is_one(ours: ModelRepository, theirs: ModelRepository) -> None:
    ours.update_version("v2", metrics={"loss": 0.4, "f1": 0.9})
    theirs.update_version("v2", metrics={"loss": 0.4, "f1": 0.9})
    ours.pull()
    assert ours.version("v2").id == theirs.version("v2").id
    ours.push()
    everywhere(ours, theirs, "v2")
