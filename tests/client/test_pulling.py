"""What a pull says before it is done, and how a merge on the way is decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import ModelRepository
from lepton_ai.cli.app import run
from lepton_ai.errors import Diverged, UsageError
from tests.client.places import names, save, weights


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ModelRepository]:
    """Two places whose third versions differ in layer0 (both), layer1 (here) and layer2 (there)."""
    with ModelRepository(tmp_path / "ours", author="ada") as repo:
        repo.add_remote("origin", tmp_path / "theirs")
        save(repo, tmp_path / "in", weights())
        repo.push()
        with ModelRepository(tmp_path / "theirs", create=False, author="bob") as theirs:
            save(
                theirs,
                tmp_path / "in",
                {**weights(), "layer0": weights(8)["layer0"], "layer2": weights(9)["layer2"]},
            )
        save(
            repo,
            tmp_path / "in",
            {**weights(), "layer0": weights(7)["layer0"], "layer1": weights(6)["layer1"]},
        )
        yield repo


def state(folder: Path) -> dict[str, bytes]:
    """Every file of a repository but what says who is at work."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / ".lepton").rglob("*"))
        if path.is_file() and "tmp" not in path.parts and "index" not in path.name
    }


def lepton(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    got = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert got == code, out + err
    assert "Traceback" not in err
    return out, err


def test_a_dry_run_of_a_merge_lists_its_conflicts_and_changes_nothing(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = state(tmp_path / "ours"), ours.home.history.scan("")
    told = ours.pull(how="merge", dry_run=True)
    assert told.preview is not None
    assert not told.preview.possible
    assert [one.name for one in told.preview.conflicts] == ["layer0"]
    assert (told.versions, told.apart, told.dry_run) == (("v2",), ("main",), True)
    assert ours.pull(how="merge", dry_run=True, on_conflict="theirs").preview.possible  # type: ignore[union-attr]
    assert ours.home.history.scan("") == there
    out, _ = lepton(capsys, "--repo", tmp_path / "ours", "pull", "--merge", "--dry-run", code=1)
    assert "1 conflict to be decided: --method, --rule or --on-conflict say how" in out
    assert "tensor layer0" in out
    whole = json.loads(
        lepton(capsys, "--repo", tmp_path / "ours", "pull", "--merge", "--dry-run", "--json", code=1)[0]
    )
    assert whole["preview"]["conflicts"][0]["name"] == "layer0"
    out, _ = lepton(
        capsys, "--repo", tmp_path / "ours", "pull", "--merge", "--dry-run", "--rule", "layer0=linear"
    )
    assert "it can be merged like this" in out
    after = state(tmp_path / "ours")
    assert after.keys() == here.keys()
    assert {name for name in here if name.startswith(".lepton/packs")} <= after.keys()
    assert ours.home.history.scan("") == there
    assert not list((tmp_path / "ours" / ".lepton" / "tmp").glob("*/.lepton"))


def test_a_rule_of_the_hint_decides(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "ours"
    _, err = lepton(capsys, "--repo", place, "pull", "--merge", code=1)
    assert "--rule for single ones" in err
    _, err = lepton(capsys, "--repo", place, "pull", "--rule", "layer0=theirs", code=2)
    assert "say --merge or --rebase too" in err
    lepton(capsys, "--repo", place, "pull", "--merge", "--rule", "layer0=theirs")
    merged = ours.version("v3")
    for layer, seed in (("layer0", 7), ("layer1", 6), ("layer2", 9)):
        assert np.array_equal(merged.tensor(layer), weights(seed)[layer])


def test_a_merge_on_the_way_can_wait_for_decisions(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "ours"
    _, err = lepton(capsys, "--repo", place, "pull", "--merge", "--on-conflict", "stop", code=1)
    assert "lepton resolve" in err or "lepton conflicts" in err
    lepton(capsys, "--repo", place, "resolve", "layer0", "--theirs")
    lepton(capsys, "--repo", place, "merge", "--continue")
    assert np.array_equal(ours.version("main").tensor("layer0"), weights(7)["layer0"])
    ours.push()
    assert names(ours) == ["v1", "v2", "v3"]


def test_what_is_said_of_a_merge_needs_one(ours: ModelRepository) -> None:
    asked: dict[str, Any] = {"on_conflict": "ours"}
    with pytest.raises(UsageError, match="nothing is to be merged"):
        ours.pull(**asked)
    with pytest.raises(Diverged):
        ours.pull()


def test_a_branch_that_is_nowhere_is_told_and_nothing_is_made(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "ours"
    _, err = lepton(capsys, "--repo", place, "pull", "-b", "nowhere", code=2)
    assert "there is no branch 'nowhere'" in err
    _, err = lepton(capsys, "clone", tmp_path / "theirs", tmp_path / "copy", "-b", "nowhere", code=2)
    assert "there is no branch 'nowhere'" in err
    _, err = lepton(capsys, "clone", tmp_path / "theirs", tmp_path / "copy", "--depth", "0", code=2)
    assert "--without-content" in err
    assert not (tmp_path / "copy").exists()
    for command in (["push", "orgin"], ["remote", "remove", "orgin"]):
        _, err = lepton(capsys, "--repo", place, *command, code=2)
        assert "there is no remote 'orgin' (there are: origin)" in err


def test_an_address_without_https_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = lepton(capsys, "login", "models.example.com", "--user", "ana", code=2)
    assert "do you mean https://models.example.com?" in err
