"""What lies around a save: files that grow, half-made folders, broken settings, odd places of packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history import provenance, writing
from lepton_ai.history.writing import plan_of
from lepton_ai.repository import ModelRepository
from lepton_ai.store.contract import Run


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


@pytest.mark.parametrize("length", [0, 999, 1001, 5000])
def test_a_file_that_grows_or_shrinks_is_named(
    repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    other, file = tmp_path / "a.bin", tmp_path / "training.log"
    other.write_bytes(b"x" * 3_000_000)
    file.write_bytes(b"x" * 1000)

    def meanwhile(segments: tuple[object, ...]) -> list[Run]:
        file.write_bytes(b"y" * length)
        return plan_of(segments)  # type: ignore[arg-type]  # as it was given

    monkeypatch.setattr(writing, "plan_of", meanwhile)
    with pytest.raises(errors.StorageFailed, match=r"training\.log changed while it was being saved"):
        repo.save_files([other, file])
    assert repo.list_versions() == []


def test_a_note_of_the_current_branch_that_is_no_text_is_told(repo: ModelRepository) -> None:
    (repo.home.place / "current").write_bytes(b"ma\xffin\n")
    with pytest.raises(errors.Damaged, match="current is no name of a branch") as caught:
        repo.version("v1")
    assert caught.value.hint == "lepton switch main"
    assert repo.list_versions() == []
    repo.switch("main")
    assert repo.current_branch == "main"


def test_packages_in_a_place_that_cannot_be_listed_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pretty-1.2.dist-info").mkdir()
    (tmp_path / "file").touch()
    places = ["x" * 300, "null\0byte", str(tmp_path / "file"), str(tmp_path / "none"), str(tmp_path)]
    monkeypatch.setattr(sys, "path", places)
    assert provenance.packages() == b'{"pretty":"1.2"}'


@pytest.mark.parametrize("half", [".lepton/packs", ".lepton"])
def test_a_half_made_repository_is_told_and_left_alone(tmp_path: Path, half: str) -> None:
    (tmp_path / "copy" / half).mkdir(parents=True)
    before = sorted((tmp_path / "copy").rglob("*"))
    with pytest.raises(errors.InfrastructureError, match=r"\.lepton is there, but is no repository"):
        ModelRepository(tmp_path / "copy")
    assert sorted((tmp_path / "copy").rglob("*")) == before


def test_a_link_to_nowhere_is_no_repository_either(tmp_path: Path) -> None:
    (tmp_path / ".lepton").symlink_to(tmp_path / "gone")
    with pytest.raises(errors.InfrastructureError, match="is no repository"):
        ModelRepository(tmp_path)
