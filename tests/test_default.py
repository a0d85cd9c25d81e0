"""The verbs of the package itself: which repository they mean, and what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lepton_ai
from lepton_ai import InvalidName, ModelRepository, NotFound


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work" / "deep" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("weights.bin").write_bytes(b"weights")


def test_a_new_one_is_made_here_and_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = lepton_ai.create_version("v1", "weights.bin")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"lepton-ai: made a new repository in {tmp_path / 'work'}"
    assert Path(said[1].removeprefix("lepton-ai: keep its recovery key safe: ")).is_file()
    assert (tmp_path / "work" / ".lepton" / "config.json").is_file()
    assert lepton_ai.list_versions()[0].id == version.id
    assert capsys.readouterr() == ("", "")


def test_the_nearest_one_above_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    above = ModelRepository(tmp_path / "work")
    monkeypatch.chdir("deep/below")
    version = lepton_ai.create_version("first", "../../weights.bin")
    assert above.version("first") == version
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "work" / "deep" / ".lepton").exists()


def test_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ModelRepository(tmp_path / "work")
    monkeypatch.setenv("LEPTON_AI_REPO", "../named")
    lepton_ai.create_version("v1", "weights.bin")
    assert [v.name for v in ModelRepository(tmp_path / "named", create=False).list_versions()] == ["v1"]
    assert ModelRepository(tmp_path / "work").list_versions() == []


def test_it_is_the_same_one_until_it_is_gone(tmp_path: Path) -> None:
    first = lepton_ai.default_repository()
    assert lepton_ai.default_repository() is first
    first.close()
    shutil.rmtree(".lepton")
    assert lepton_ai.list_versions() == []
    assert lepton_ai.default_repository() is not first


def test_a_path_that_was_relative_stays_right_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    version = lepton_ai.create_version("v1", "weights.bin")
    monkeypatch.chdir("deep")
    (place,) = version.checkout("out")
    assert place.read_bytes() == b"weights"


def test_an_existing_name_gets_a_revision_and_the_history_is_read(tmp_path: Path) -> None:
    Path("curves.json").write_text('{"loss": [3, 2, 1]}')
    lepton_ai.create_version("v1", "weights.bin", "curves.json", metrics={"accuracy": 0.5})
    again = lepton_ai.create_version("v1", "weights.bin", metrics={"accuracy": 0.6})
    assert (again.name, again.revision, again.metrics) == ("v1", 2, {"accuracy": 0.6})
    assert again.revisions()[0].history == {"loss": [3, 2, 1]}
    assert [v.metrics for v in lepton_ai.list_versions("main", limit=1)] == [{"accuracy": 0.6}]


def test_what_is_wrong_is_said_plainly() -> None:
    with pytest.raises(NotFound, match="nowhere"):
        lepton_ai.create_version("v1", "nowhere.bin")
    with pytest.raises(InvalidName):
        lepton_ai.create_version("no spaces", "weights.bin")
    with pytest.raises(NotFound, match="no-branch"):
        lepton_ai.create_version("v1", "weights.bin", branch="no-branch")
    assert lepton_ai.list_versions() == []
