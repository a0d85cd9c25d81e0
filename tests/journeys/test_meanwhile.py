"""What others do while a version is being made: only a branch or version that moved is a lost race."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history.refs.contract import Commit
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    repo = ModelRepository(tmp_path / "repo", author="anna", encrypt=False)
    _save(repo, "v1")
    return repo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "model.bin"
    file.write_bytes(b"1" * 100)
    return file


def _save(repo: ModelRepository, content: str) -> None:
    file = repo.path.parent / "content.bin"
    file.write_text(content)
    repo.save_files(file)


def _before_the_commit(
    repo: ModelRepository, monkeypatch: pytest.MonkeyPatch, others: Callable[[ModelRepository], object]
) -> list[str]:
    """Let somebody else act once, between what a commit was computed from and the commit; the commits made."""
    commit, made = repo.home.history.commit, list[str]()

    def interrupted(change: Commit) -> None:
        made.append(change.act)
        if made.count(change.act) == 1 and change.act not in {"lease", "release"}:
            with ModelRepository(repo.path) as other:
                others(other)
        commit(change)

    monkeypatch.setattr(repo.home.history, "commit", interrupted)
    return made


def _draft(repo: ModelRepository, file: Path) -> None:
    with repo.branch().create_version("mine") as draft:
        draft.add(file)


def _copy(repo: ModelRepository, file: Path) -> None:
    repo.branch().create_version("mine").close()


def _upon_a_parent(repo: ModelRepository, file: Path) -> None:
    repo.save_files(file, parent="v1", name="mine")


def _update(repo: ModelRepository, file: Path) -> None:
    repo.update_version("v1", file, message="mine")


WAYS = [_draft, _copy, _upon_a_parent, _update]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "others",
    [
        pytest.param(lambda other: other.tag("gold", "v1"), id="a tag"),
        pytest.param(lambda other: other.set_alias("production", "v1"), id="an alias"),
        pytest.param(lambda other: other.create_branch("side"), id="a branch"),
    ],
)
def test_what_moves_neither_branch_nor_version_costs_nothing(
    repo: ModelRepository,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[ModelRepository, Path], None],
    others: Callable[[ModelRepository], object],
) -> None:
    made = _before_the_commit(repo, monkeypatch, others)
    way(repo, file)
    assert made.count("update" if way is _update else "save") == 2, made
    newest = repo.branch().head
    assert newest is not None
    assert "mine" in {newest.name, newest.message}


@pytest.mark.parametrize("way", WAYS)
def test_what_moves_them_is_reported_in_plain_words(
    repo: ModelRepository,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[ModelRepository, Path], None],
) -> None:
    def others(other: ModelRepository) -> None:
        other.update_version("v1", message="theirs")

    _before_the_commit(repo, monkeypatch, others)
    with pytest.raises(errors.LostRace, match=r"while (the version|this update) was being made"):
        way(repo, file)
    assert [version.message for version in repo.version("v1").revisions()] == ["", "theirs"]


def test_a_draft_is_for_the_branch_that_it_was_opened_on(repo: ModelRepository, file: Path) -> None:
    branch = repo.create_branch("side")
    draft = branch.create_version("mine")
    repo.delete_branch("side")
    repo.create_branch("side")
    with pytest.raises(errors.LostRace, match="this is another one"):
        draft.add(file)
    assert [info.name for info in repo.list_versions("side")] == ["v1"]


def test_a_branch_that_came_back_is_the_same(repo: ModelRepository, file: Path) -> None:
    draft = repo.create_branch("side").create_version("mine")
    repo.delete_branch("side")
    repo.restore_branch("side")
    assert draft.add(file).name == "mine"
