"""``lepton merge``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from .conftest import Lepton, model


@pytest.fixture
def parted(three: Lepton) -> Lepton:
    """A branch that went another way from v2, and changed the same tensor as main."""
    three("branch", "feature", "--from", "v2")
    three("save", model(step=5), "-b", "feature")
    return three


def test_conflicts_are_named_and_nothing_happens(parted: Lepton) -> None:
    error = parted("merge", "feature", "--json", code=1).error
    assert error["kind"] == "diverged"
    assert "layer.weight" in error["message"]
    assert "--method" in error["hint"]
    assert parted("show", "main", "--json").json["name"] == "v3"


def test_a_dry_run_says_what_would_be_done(parted: Lepton) -> None:
    told = parted("merge", "feature", "--dry-run", "--json", code=1).json
    assert (told["way"], told["possible"], told["bases"]) == ("merge", False, ["main@v2"])
    assert [one["name"] for one in told["conflicts"]] == ["layer.weight"]
    lines = parted("merge", "feature", "--dry-run", code=1).out
    assert "would merge main@v3 and feature@v3 into main; common ancestor: main@v2" in lines
    assert "tensor layer.weight: changed on both sides" in lines
    told = parted("merge", "feature", "--method", "linear", "--dry-run", "--json").json
    assert told["possible"]
    assert told["counts"] == {"merged": 1, "same": 1}
    assert told["to_read"] == 3 * 64 * 32 * 4
    assert "it can be merged like this" in parted("merge", "feature", "--method", "linear", "--dry-run").out
    assert parted("show", "main", "--json").json["name"] == "v3"


def test_a_method_and_a_replay(parted: Lepton) -> None:
    done = parted("merge", "feature", "--method", "linear", "--weight", "1,3", "-m", "both")
    assert done.out.startswith("merged feature into main, which stands on main@v4")
    assert "1 merged by a method" in done.out
    told = parted("show", "v4", "--json").json
    assert (told["operation"]["kind"], told["message"], len(told["parents"])) == ("merge", "both", 2)
    assert "the same content" in parted("merge", "--replay", "v4").out
    assert parted("merge", "--replay", "v4", "--json").json["same"] is True
    assert parted("merge", "--replay", "v3", "--json", code=2).error["kind"] == "not-found"
    assert parted("verify", "--json").json["clean"]


def test_rules_and_sides(parted: Lepton) -> None:
    parted("merge", "feature", "--rule", "layer.*=linear:weight=0/1", "--no-ff")
    shown = [parted("show", address, "--json").json["content_id"] for address in ("main", "feature")]
    assert shown[0] == shown[1]


def test_no_ff_makes_a_version(three: Lepton) -> None:
    three("branch", "feature")
    three("save", model(step=5), "-b", "feature")
    assert "would get a version" in three("merge", "feature", "--no-ff", "--dry-run").out
    assert "would move forward" in three("merge", "feature", "--dry-run").out
    told = three("merge", "feature", "--no-ff", "--json").json
    assert (told["name"], told["branch"]) == ("v4", "main")
    assert "has everything" in three("merge", "feature", "--dry-run").out


def test_several_branches_and_versions(parted: Lepton) -> None:
    parted("branch", "other", "--from", "v2")
    parted("save", model(step=9), "-b", "other")
    error = parted("merge", "feature", "other", "--json", code=1).error
    assert "layer.weight" in error["message"]
    told = parted("merge", "feature", "other@v3", "--method", "linear", "--json").json
    assert told["name"] == "v4"
    assert len(parted("show", "v4", "--json").json["parents"]) == 3
    assert parted("merge", "feature", "other", "--json").json is None
    assert "has everything" in parted("merge", "feature", "other").out


def test_what_ends_or_repeats_a_merge_does_no_more(parted: Lepton) -> None:
    for ending in ("--continue", "--abort"):
        assert (
            "--dry-run' is too much"
            in parted("merge", ending, "--dry-run", "--json", code=2).error["message"]
        )
    assert "merges nothing new" in parted("merge", "--replay", "v2", "--method", "ties", code=2).err


def test_a_configuration(parted: Lepton) -> None:
    Path("merge.yml").write_text(
        "merge_method: linear\nmodels:\n  - model: main\n  - model: feature\nparameters: {weight: 1}\n"
    )
    assert "it can be merged" in parted("merge", "--config", "merge.yml", "--dry-run").out
    told = parted("merge", "--config", "merge.yml", "--json").json
    assert (told["name"], told["branch"]) == ("v4", "main")
    error = parted("merge", "--config", "merge.yml", "--method", "ties", "--json", code=2).error
    assert "--config says how to merge" in error["message"]
    assert parted("merge", "--config", "no.yml", "--json", code=2).error["kind"] == "not-found"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["feature", "--method", "mean"], "there is no merge method 'mean'"),
        (["feature", "--weight", "much"], "--weight much is not a number"),
        (["feature", "--rule", "x"], "'x' is no rule"),
        (["feature", "--method", "linear", "--param", "speed=1"], "no parameter 'speed'"),
        (["feature", "--aid", "fisher"], "is no KIND=VERSION"),
        (
            ["feature", "--method", "fisher", "--aid", "fisher=v1"],
            "1 versions of fisher are named for 2 models",
        ),
        (["feature", "--names", "no.txt"], "there is no file no.txt"),
        (["feature", "--names", "."], ". is a folder"),
        (["--config", "."], ". is a folder"),
        (["nope"], "there is no branch 'nope'"),
        ([], "nothing is named"),
        (["feature", "--replay", "v1"], "merges nothing new"),
    ],
)
def test_what_is_wrong_is_said(parted: Lepton, typed: list[str], said: str) -> None:
    assert said in parted("merge", *typed, "--json", code=2).error["message"]


def test_numbers_that_overflow_are_called_out(lepton: Lepton, tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    for value, branch in ((0, "main"), (60000, "main"), (50000, "side")):
        if branch == "side":
            lepton("branch", "side", "--from", "v1")
        file.write_bytes(save({"w": np.full((3, 4), value, np.float16)}))
        lepton("save", str(file), "-b", branch)
    asked = ("--method", "task_arithmetic", "--param", "weight=1.0", "--param", "normalize=false")
    line = "the merge introduces 12 Inf: w (12 Inf)"
    assert line in lepton("merge", "side", *asked).err
    assert f"! {line}" in lepton("show", "v3").out
    told = lepton("show", "v3", "--json").json["merge"]
    assert told["warnings"] == [line]
    assert told["tensors"][0]["introduced_inf"] == 12


def test_long_lists_are_cut(lepton: Lepton, tmp_path: Path) -> None:
    """What is in conflict stands first, --all shows everything, JSON is whole."""
    folder = tmp_path / "models"
    folder.mkdir()
    for value, branch in ((0, "main"), (1, "main"), (2, "side")):
        if branch == "side":
            lepton("branch", "side", "--from", "v1")
        tensors: dict[str, np.ndarray] = {f"w{n:02}": np.full(300, value, np.float32) for n in range(50)}
        (folder / "model.safetensors").write_bytes(save(tensors | {"z": np.full(300, value, np.int64)}))
        for n in range(30):
            (folder / f"{n:02}.bin").write_bytes(bytes([0, value, n]))
        lepton("save", str(folder), "-b", branch)
    said = ("merge", "side", "--dry-run")
    short = lepton(*said, code=1).out
    assert short.count("changed on both sides") == 3 * 20  # tensors, files, conflicts
    assert [line.strip() for line in short.splitlines() if "more" in line] == [
        "and 31 more: --all lists them", "and 11 more: --all lists them", "and 61 more: --all lists them",
    ]  # fmt: skip
    assert lepton(*said, "--all", code=1).out.count("changed on both sides") == 51 + 30 + 81
    assert len(lepton(*said, "--json", code=1).json["tensors"]) == 51
    cut = lepton(*said, "--method", "linear", code=1).out.splitlines()
    assert cut[4].split()[:2] == ["z", "conflict"]
    lepton("merge", "side", "--method", "linear", "--on-conflict", "ours")
    shown = [lepton("show", "v3", *more).out for more in ((), ("--all",))]
    assert [text.count("linear") for text in shown] == [1 + 20, 1 + 51]  # what was asked, the table
    assert "and 31 more: --all lists them" in shown[0]
    assert len(lepton("show", "v3", "--json").json["merge"]["tensors"]) == 51
    assert "--all is for --dry-run" in lepton("merge", "side", "--all", code=2).err
