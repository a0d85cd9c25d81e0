"""What an address means to the verbs that take one, and what is too unclear for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    repo = ModelRepository(tmp_path / "repo", author="anna", encrypt=False)
    file = tmp_path / "model.bin"
    for number in range(2):
        file.write_text(str(number))
        repo.save_files(file)
    repo.update_version("v1", message="again")
    return repo


@pytest.mark.parametrize("address", ["v1~1", "main@v1~2", "v2~1"])
def test_one_revision_is_not_deleted(repo: ModelRepository, address: str) -> None:
    with pytest.raises(errors.UsageError, match="is one revision") as caught:
        repo.delete_version(address)
    assert caught.value.hint == f"lepton delete {address[:-2]}"
    assert [info.status for info in repo.list_versions(deleted=True)] == ["Active", "Active"]


def test_a_branch_is_not_deleted_as_its_newest_version(repo: ModelRepository) -> None:
    with pytest.raises(errors.UsageError, match="'main' is a branch") as caught:
        repo.delete_version("main")
    assert caught.value.hint == "lepton delete main@v2, or lepton branch --delete main"
    assert [info.name for info in repo.list_versions()] == ["v1", "v2"]


def test_a_version_that_is_called_like_a_branch_is_deleted(repo: ModelRepository) -> None:
    repo.create_branch("side")
    repo.branch().create_version("side").close()
    assert repo.delete_version("side").name == "side"
    assert repo.delete_version(repo.version("v1")).name == "v1"
    assert repo.delete_version(repo.version("v2").id[:12]).name == "v2"


def test_a_branch_starts_from_what_the_address_means_elsewhere(repo: ModelRepository) -> None:
    repo.create_branch("side", "v1")
    repo.branch().create_version("side").close()
    assert repo.version("side").branch == "main"
    head = repo.create_branch("other", "side").head
    assert head is not None
    assert head.id == repo.version("side").id


def test_an_update_of_nothing_makes_no_revision(repo: ModelRepository) -> None:
    for nothing in ({}, {"metrics": None}, {"stem": "model"}):
        with pytest.raises(errors.UsageError, match="nothing is given to update"):
            repo.version("v2").update(**nothing)
    assert repo.version("v2").revision == 1
    assert repo.version("v2").update(message="").revision == 2
