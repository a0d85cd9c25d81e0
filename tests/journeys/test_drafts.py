"""Drafts lose nothing: one path is one file, and what fails leaves no draft open."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


def _put(place: Path, data: bytes = b"x") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def test_two_files_of_one_name_are_refused(repo: ModelRepository, tmp_path: Path) -> None:
    def work() -> None:
        with repo.branch().create_version("v1") as draft:
            draft.add(_put(tmp_path / "x" / "model.bin", b"1"))
            draft.add(_put(tmp_path / "y" / "model.bin", b"2"))

    with pytest.raises(errors.UsageError, match="two files"):
        work()
    assert repo.list_versions() == []


def test_two_models_of_one_stem_are_refused(repo: ModelRepository) -> None:
    from sklearn.linear_model import LinearRegression

    def work() -> None:
        with repo.branch().create_version("v1") as draft:
            draft.save_model(LinearRegression().fit([[0], [1]], [0, 1]))
            draft.save_model(LinearRegression().fit([[0], [1]], [1, 0]))

    with pytest.raises(errors.UsageError, match="two files"):
        work()
    assert repo.list_versions() == []


def test_a_file_and_a_folder_of_one_name_are_refused(repo: ModelRepository, tmp_path: Path) -> None:
    paths = [
        _put(tmp_path / "x" / "a"),
        _put(tmp_path / "y" / "a-b"),
        _put(tmp_path / "z" / "a" / "b").parent,
    ]
    with pytest.raises(errors.UsageError, match="file and a folder"):
        repo.save_files(paths)


def test_files_are_sorted(repo: ModelRepository, tmp_path: Path) -> None:
    with repo.branch().create_version() as draft:
        draft.add(_put(tmp_path / "z"))
        draft.add(_put(tmp_path / "a"))
    assert [file.path for file in draft.files] == ["a", "z"]


def test_a_failed_save_discards_it(repo: ModelRepository, tmp_path: Path) -> None:
    branch = repo.branch()
    draft = branch.create_version("v1")
    with pytest.raises(errors.NotFound):
        draft.add(tmp_path / "nothing")
    assert branch.draft is None
    assert branch.create_version("v1").add(_put(tmp_path / "a")).name == "v1"


def test_files_go_into_the_open_draft(repo: ModelRepository, tmp_path: Path) -> None:
    branch = repo.branch()
    branch.create_version("v9")
    with pytest.raises(errors.UsageError, match="draft"):
        repo.save_files(_put(tmp_path / "a"), branch, name="v5")
    assert repo.save_files([_put(tmp_path / "a"), _put(tmp_path / "b")], branch, message="m").name == "v9"
    assert branch.draft is None
    assert [info.name for info in repo.list_versions()] == ["v9"]


@pytest.mark.parametrize(
    "stem", ["../x", "a/b", "/abs/x", "", None, ".", "..", "x\0", "a\nb", "x" * 300, "\ud800", "a\\b", 5]
)
def test_a_stem_is_one_plain_name(repo: ModelRepository, tmp_path: Path, stem: str) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(errors.InvalidName):
        repo.save_model(model, stem=stem)
    assert repo.list_versions() == []
    assert [f.path for f in repo.save_model(model, stem="模型 v1.best").files] == ["模型 v1.best.skops"]


def test_while_it_is_open_it_has_a_name_and_nothing_else(repo: ModelRepository, tmp_path: Path) -> None:
    draft = repo.branch().create_version("v7")
    assert draft.name == "v7"
    for name in ("id", "metrics", "files"):
        assert not hasattr(draft, name)
        with pytest.raises(errors.UsageError, match=f"a draft has no '{name}' before"):
            getattr(draft, name)
    draft.discard()
    draft = repo.branch().create_version()
    with pytest.raises(errors.UsageError, match="a draft has no 'name' before"):
        _ = draft.name
    draft.add(_put(tmp_path / "a"))
    assert (draft.name, draft.branch) == ("v1", "main")
