"""What a pull says before it is done, and how a merge on the way is decided."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import ModelRepository
from lepton_ai.bringing import How
from lepton_ai.cli.app import run
from lepton_ai.client import remotes
from lepton_ai.errors import Diverged, InUse, UsageError
from lepton_ai.history.merging.run import Merging
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


def test_a_dry_run_of_a_rebase_lists_its_conflicts_and_changes_nothing(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(ours, tmp_path / "in", {**weights(), "layer0": weights(5)["layer0"].reshape(2, -1)})
    there = ours.home.history.scan("")
    told = ours.pull(how="rebase", dry_run=True)
    assert [step.possible for step in told.steps] == [True, False]
    assert [one.name for one in told.steps[1].conflicts] == ["layer0"]
    assert told.preview is None
    assert all(step.possible for step in ours.pull(how="rebase", dry_run=True, on_conflict="theirs").steps)
    place = tmp_path / "ours"
    out, _ = lepton(capsys, "--repo", place, "pull", "--rebase", "--dry-run", code=1)
    assert (
        "main-mine@v2: would be taken over onto main" in out
        or "main@v2: would be taken over onto main" in out
    )
    assert "cannot be taken over" in out
    assert "tensor layer0" in out
    whole = json.loads(lepton(capsys, "--repo", place, "pull", "--rebase", "--dry-run", "--json", code=1)[0])
    assert whole["steps"][1]["conflicts"][0]["name"] == "layer0"
    assert ours.home.history.scan("") == there
    with pytest.raises(Diverged, match="stands where it stood"):
        ours.pull(how="rebase")
    ours.pull(how="rebase", on_conflict="theirs")
    assert names(ours)[-2:] == ["v4", "v5"]


def test_a_rebase_leaves_out_what_they_have_already(
    ours: ModelRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ModelRepository(tmp_path / "theirs", create=False, author="bob") as theirs:
        save(
            theirs,
            tmp_path / "in",
            {**weights(), **{n: ours.version("v2").tensor(n) for n in ("layer0", "layer1")}},
        )
    place = tmp_path / "ours"
    out, _ = lepton(capsys, "--repo", place, "pull", "--rebase", "--dry-run")
    assert "has its change already" in out
    _, err = lepton(capsys, "--repo", place, "pull", "--rebase")
    assert "has every change of yours already" in err
    assert names(ours) == ["v1", "v2", "v3"]
    assert names(ours, "main-mine") == ["v1", "v2"]


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_pull_that_is_interrupted_leaves_everything_as_it_stood(
    ours: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    head = ours.lines.branch("main").head
    monkeypatch.setattr("lepton_ai.history.merging.run.Merging.make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ours.pull(how=how, on_conflict="theirs")
    assert ours.lines.branch("main").head == head
    assert [branch.name for branch in ours.branches()] == ["main"]


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_pull_that_was_killed_is_put_back_by_the_next(
    ours: ModelRepository, tmp_path: Path, how: How
) -> None:
    head, place = ours.lines.branch("main").head, tmp_path / "ours"
    killed = (
        "import os, signal, sys; from lepton_ai.history.merging.run import Merging; from lepton_ai.cli.app import run\n"
        "Merging.make = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(sys.argv[1:])"
    )
    command = ["--repo", str(place), "pull", f"--{how}", "--on-conflict", "theirs"]
    done = subprocess.run([sys.executable, "-c", killed, *command], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert ours.lines.branch("main").head != head, "it was killed in the middle"
    with pytest.raises(Diverged):
        ours.pull()
    assert ours.lines.branch("main").head == head
    assert [branch.name for branch in ours.branches()] == ["main"]
    ours.pull(how=how, on_conflict="theirs")
    assert [branch.name for branch in ours.branches()] == ["main", "main-mine"]
    assert not ours.home.history.scan("pulling/")
    ours.push()
    assert ours.verify().clean


def test_a_rebase_that_was_killed_between_two_versions_is_put_back_by_the_next(
    ours: ModelRepository, tmp_path: Path
) -> None:
    save(ours, tmp_path / "in", {**weights(), "layer3": weights(5)["layer3"]})
    head, place = ours.lines.branch("main").head, tmp_path / "ours"
    killed = (
        "import os, signal, sys; from lepton_ai.history.merging.run import Merging; from lepton_ai.cli.app import run\n"
        "make, done = Merging.make, []\n"
        "die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Merging.make = lambda *given: die() if done else done.append(1) or make(*given)\n"
        "run(sys.argv[1:])"
    )
    command = ["--repo", str(place), "pull", "--rebase", "--on-conflict", "theirs"]
    done = subprocess.run([sys.executable, "-c", killed, *command], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert names(ours) == ["v1", "v2", "v4"], "it was killed when one of two versions was taken over"
    with pytest.raises(Diverged):
        ours.pull()
    assert ours.lines.branch("main").head == head
    assert [branch.name for branch in ours.branches()] == ["main"]


def test_what_somebody_saved_after_a_pull_was_killed_stays(ours: ModelRepository, tmp_path: Path) -> None:
    place = tmp_path / "ours"
    killed = (
        "import os, signal, sys; from lepton_ai.history.merging.run import Merging; from lepton_ai.cli.app import run\n"
        "Merging.make = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(sys.argv[1:])"
    )
    command = ["--repo", str(place), "pull", "--merge", "--on-conflict", "theirs"]
    subprocess.run([sys.executable, "-c", killed, *command], check=False, capture_output=True)
    new = save(ours, tmp_path / "in", {**weights(), "layer3": weights(5)["layer3"]})
    pulled = ours.pull()
    assert ours.version("main").id == new.id
    assert names(ours, "main-mine") == ["v1", "v2"]
    assert "what was yours is on branch 'main-mine'" in " ".join(pulled.notes)
    assert ours.pull().notes == ()


def test_what_somebody_saves_while_a_pull_fails_stays(
    ours: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []

    def meanwhile(*_: object) -> None:
        with ModelRepository(tmp_path / "ours", create=False) as other:
            saved.append(save(other, tmp_path / "in", {**weights(), "layer3": weights(5)["layer3"]}).id)
        raise Diverged("it cannot be merged")

    monkeypatch.setattr(Merging, "make", meanwhile)
    with pytest.raises(Diverged, match=r"somebody went on with 'main' .* on branch 'main-mine'"):
        ours.pull(how="merge", on_conflict="theirs")
    assert ours.version("main").id == saved[0]
    assert names(ours, "main-mine") == ["v1", "v2"]
    assert not ours.home.history.scan("pulling/")


def refused_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[ModelRepository], object]
) -> None:
    """While a pull merges, ``act`` of somebody else on the same repository is refused."""
    make = Merging.make

    def meanwhile(*given: Any) -> Any:
        with (
            ModelRepository(tmp_path / "ours", create=False) as other,
            pytest.raises(InUse, match="pulls 'main'"),
        ):
            act(other)
        return make(*given)

    monkeypatch.setattr(Merging, "make", meanwhile)


def test_two_pulls_at_once_do_not_put_each_other_back(
    ours: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_meanwhile(tmp_path, monkeypatch, lambda other: other.pull())
    ours.pull(how="merge", on_conflict="theirs")
    assert names(ours) == ["v1", "v2", "v3"]


def test_a_pull_that_began_while_another_fetched_is_not_written_over(
    ours: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_meanwhile(
        tmp_path,
        monkeypatch,
        lambda other: other._put_beside(remotes.find(other.home.history, None), "main"),
    )
    ours.pull(how="merge", on_conflict="theirs")
    assert [branch.name for branch in ours.branches()] == ["main", "main-mine"]


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
