"""A merge that waits, from the command line, and changes by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.cli.conftest import Lepton

START = {name: np.random.default_rng(n).normal(size=400).astype(np.float32) for n, name in enumerate("abc")}


def write(hidden: int = 8, **steps: float) -> Path:
    folder = Path("model")
    folder.mkdir(exist_ok=True)
    tensors = {name: start + np.float32(steps.get(name, 0)) for name, start in START.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(f'{{\n  "hidden": {hidden}\n}}\n')
    return folder


@pytest.fixture
def parted(lepton: Lepton) -> Lepton:
    """main and feature both changed tensor c and the config."""
    lepton("init", "--no-encrypt")
    lepton("save", write())
    lepton("branch", "feature")
    lepton("save", write(32, b=2, c=2), "-b", "feature")
    lepton("save", write(16, a=1, c=1))
    return lepton


@pytest.fixture
def waiting(parted: Lepton) -> Lepton:
    told = parted("merge", "feature", "--on-conflict", "stop", "--json", code=1).error
    assert told["kind"] == "diverged"
    assert "lepton conflicts" in told["hint"]
    return parted


def newest(lepton: Lepton) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    lepton("checkout", "main", "-o", "out", "--force")
    return load_file("out/model.safetensors")


def test_the_whole_way(waiting: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    told = waiting("conflicts", "--json", code=1).json
    assert set(told["open"]) == {"c", "config.json"}
    assert [side["version"] for side in told["ours"] + told["theirs"] + told["base"]] == [
        "main@v2", "feature@v2", "main@v1",
    ]  # fmt: skip
    assert waiting("resolve", "c", "--theirs", "-m", "trained longer").out.splitlines() == [
        "c: theirs",
        "1 conflict left to decide: lepton resolve NAME --ours|--theirs|--method M",
    ]
    monkeypatch.setenv("LEPTON_AI_AUTHOR", "Bert")
    Path("mine.json").write_text('{"hidden": 24}')
    assert (
        "everything is decided: lepton merge --continue"
        in waiting("resolve", "config.json", "--file", "mine.json").out
    )
    shown = waiting("conflicts").out
    assert "feature into main, begun by Anna" in shown
    assert "trained longer" in shown
    done = waiting("merge", "--continue", "-m", "2.0", "--json").json
    assert (done["name"], done["message"], done["author"]) == ("v3", "2.0", "Bert")
    assert (newest(waiting)["c"] == START["c"] + np.float32(2)).all()
    assert Path("out/config.json").read_text() == '{"hidden": 24}'
    assert waiting("conflicts", "--json", code=2).error["kind"] == "not-found"


def test_it_is_shown_where_people_look(waiting: Lepton) -> None:
    line = "a merge is in progress (feature into main, begun by Anna on "
    for command in (["log"], ["log", "--graph"], ["branch"]):
        told = waiting(*command)
        assert line in told.err
        assert "it waits for 2 decisions: lepton conflicts" in told.err
    assert waiting("branch", "--json").json[0]["merge"].startswith("feature into main")
    assert waiting("branch", "--json").err == ""
    assert (
        "a merge is in progress: feature into main"
        in waiting("merge", "feature", "--json", code=2).error["message"]
    )
    waiting("resolve", "*", "--ours")
    assert "it can be finished: lepton merge --continue" in waiting("log").err
    waiting("merge", "--continue")
    assert waiting("log").err == ""


def test_the_log_tells_who_decided_what(waiting: Lepton) -> None:
    waiting("resolve", "c", "--ours", "-m", "safer")
    newest = waiting("log", "--limit", "2", "--json").json
    assert [(line["act"], line["why"]) for line in newest] == [("resolve c", "safer"), ("begin merge", "")]


def test_another_ones_decision(waiting: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting("resolve", "c", "--ours")
    monkeypatch.setenv("LEPTON_AI_AUTHOR", "Bert")
    told = waiting("resolve", "c", "--theirs", "--json", code=1).error
    assert "Anna decided for c already" in told["message"]
    assert waiting("resolve", "c", "--theirs", "--force", "--json").json["resolved"] == ["c"]


def test_a_glob_leaves_what_was_decided(waiting: Lepton) -> None:
    Path("mine.json").write_text('{"hidden": 24}')
    waiting("resolve", "config.json", "--file", "mine.json")
    assert waiting("resolve", "*", "--theirs").out.splitlines() == [
        "c: theirs",
        "1 left as decided before: config.json (--again)",
        "everything is decided: lepton merge --continue",
    ]
    told = waiting("resolve", "*", "--ours", "--json", code=1).error
    assert told["kind"] == "diverged"
    assert "--again" in told["hint"]
    told = waiting("resolve", "[c]", "--ours", "--again", "--json").json
    assert (told["resolved"], told["kept"]) == (["c"], [])
    waiting("merge", "--continue")
    assert (newest(waiting)["c"] == START["c"] + np.float32(1)).all()
    assert Path("out/config.json").read_text() == '{"hidden": 24}'


def test_abort(waiting: Lepton) -> None:
    assert "gave up the merge of feature into main" in waiting("merge", "--abort").out
    assert (newest(waiting)["c"] == START["c"] + np.float32(1)).all()
    assert waiting("merge", "--abort", "--json", code=2).error["kind"] == "not-found"


def test_methods_and_evaluation(waiting: Lepton) -> None:
    assert waiting("resolve", "c", "--method", "linear:weight=0.5/0.5").out.startswith(
        "c: linear:weight=[0.5, 0.5]\n"
    )
    command = (
        'python -c \'import sys; print(1 if "16" in open(sys.argv[1] + "/config.json").read() else 0)\' {dir}'
    )
    out = waiting(
        "resolve", "config.json", "--evaluate", command, "--candidate", "theirs", "--candidate", "ours"
    ).out
    assert out.splitlines()[:3] == ["config.json: ours", "  ours: 1.0", "  theirs: 0.0"]
    waiting("merge", "--continue")
    np.testing.assert_allclose(newest(waiting)["c"], START["c"] + 1.5, rtol=1e-6)


def test_evaluation_in_one_go(parted: Lepton) -> None:
    command = "echo loss=$(tr -dc 0-9 < {dir}/config.json)"
    parted("merge", "feature", "--evaluate", command, "--candidate", "theirs", "--candidate", "ours")
    assert (newest(parted)["c"] == START["c"] + np.float32(1)).all()
    assert parted("show", "main", "--json").json["metrics"] == {"loss": 16.0}


@pytest.mark.parametrize(
    "command",
    [
        ["resolve", "c"],
        ["resolve", "c", "--ours", "--theirs"],
        ["resolve", "nothing", "--ours"],
        ["resolve", "config.json", "--method", "linear"],
        ["resolve", "c", "--file", "model/config.json"],
        ["resolve", "c", "--file", "nowhere.npy"],
        ["resolve", "c", "--file", "."],
        ["merge", "--continue", "--abort"],
        ["merge", "feature", "--continue"],
        ["merge", "--abort", "--method", "linear"],
        ["merge", "--continue", "--into", "feature"],
        ["merge", "feature", "--by", "accuracy"],
    ],
)
def test_what_cannot_be_said(waiting: Lepton, command: list[str]) -> None:
    told = waiting(*command, "--json", code=2).error
    assert told["hint"]
    assert len(waiting("conflicts", "--json", code=1).json["open"]) == 2


def test_continuing_too_early(waiting: Lepton) -> None:
    assert "waits for 2 decisions" in waiting("merge", "--continue", "--json", code=1).error["message"]


def test_cherry_pick_and_revert(parted: Lepton) -> None:
    refused = parted("cherry-pick", "feature@v2", "--json", code=1).error
    assert "config.json" in refused["message"]
    assert "--rule" not in refused["hint"], "it has none"
    told = parted("cherry-pick", "feature@v2", "--dry-run", code=1).out
    assert "config.json" in told
    parted("save", write(32, b=2, c=5), "-b", "feature")
    before = parted("versions", "--json").json
    assert parted("cherry-pick", "feature@v3", "--dry-run", "--json").json["possible"]
    assert "it can be merged like this" in parted("cherry-pick", "feature@v3", "--dry-run").out
    assert parted("versions", "--json").json == before
    assert parted("cherry-pick", "feature@v3", "-m", "the fix").out.startswith(
        "took the change of feature@v3 over: main@v3 "
    )
    np.testing.assert_allclose(newest(parted)["c"], START["c"] + 4, rtol=1e-6)
    assert parted("show", "main", "--json").json["message"] == "the fix"
    assert parted("revert", "v2", "--on-conflict", "ours").out.startswith(
        "took the change of v2 back: main@v4 "
    )
    told = newest(parted)
    assert (told["a"] == START["a"]).all()
    np.testing.assert_allclose(told["c"], START["c"] + 3, rtol=1e-6)
    assert parted("cherry-pick", "v2", "--json", code=2).error["kind"] == "usage"


def test_the_only_merge_in_progress_need_not_be_named(parted: Lepton) -> None:
    parted("branch", "stable", "--from", "main@v1")
    parted("save", write(64, c=3), "-b", "stable")
    parted("merge", "feature", "--into", "stable", "--on-conflict", "stop", code=1)
    assert parted("conflicts", "--json", code=1).json["branch"] == "stable"
    assert (
        "left to decide: lepton resolve NAME --ours|--theirs|--method M\n"
        in parted("resolve", "c", "--ours").out
    )
    parted("merge", "feature", "--on-conflict", "stop", code=1)
    told = parted("conflicts", "--json", code=2).error
    assert told["kind"] == "ambiguous"
    assert "main, stable" in told["message"]
    assert "--into stable" in parted("resolve", "config.json", "--theirs", "--into", "stable").out
    parted("merge", "--abort", "--into", "main")
    assert "into stable" in parted("merge", "--continue").out


def test_a_text_with_markers_edited_by_hand(waiting: Lepton) -> None:
    marked = waiting("conflicts", "config.json").out
    assert marked == (
        '{\n<<<<<<< main@v2\n  "hidden": 16\n||||||| main@v1\n  "hidden": 8\n=======\n  "hidden": 32\n'
        ">>>>>>> feature@v2\n}\n"
    )
    assert waiting("conflicts", "config.json", "--json").json == {"name": "config.json", "text": marked}
    assert "has no lines to show" in waiting("conflicts", "c", code=2).err
    assert "no conflict of this merge" in waiting("conflicts", "d", code=2).err
    Path("mine.json").write_text(marked)
    assert (
        "still has conflict markers" in waiting("resolve", "config.json", "--file", "mine.json", code=2).err
    )
    Path("mine.json").write_text('{"hidden": 24}\n')
    waiting("resolve", "config.json", "--file", "mine.json")
    waiting("resolve", "c", "--ours")
    waiting("merge", "--continue")
    newest(waiting)
    assert Path("out/config.json").read_text() == '{"hidden": 24}\n'


def test_what_is_no_text_has_no_lines(lepton: Lepton) -> None:
    lepton("init", "--no-encrypt")
    for number, branch in ((0, "main"), (1, "main"), (2, "side")):
        (folder := write(a=number if branch == "main" else 0)).joinpath("state.bin").write_bytes(
            bytes([0, number])
        )
        if branch == "side":
            lepton("branch", "side", "--from", "v1")
        lepton("save", folder, "-b", branch)
    lepton("merge", "side", "--on-conflict", "stop", code=1)
    told = lepton("conflicts", "state.bin", code=2).err
    assert "state.bin has no lines to show: changed on both sides, and is no text" in told


def test_who_is_who_is_said(waiting: Lepton) -> None:
    assert "(ours: main@v2; theirs: feature@v2; base: main@v1):" in waiting("conflicts", code=1).out


def test_a_merge_is_shown(waiting: Lepton) -> None:
    waiting("resolve", "c", "--method", "slerp:t=0.25", "-m", "a little")
    waiting("resolve", "config.json", "--theirs")
    waiting("merge", "--continue")
    told = waiting("show", "v3", "--json").json["merge"]
    assert told["versions"] == {"ours": ["main@v2"], "theirs": ["feature@v2"], "base": ["main@v1"]}
    assert {one["name"]: one["outcome"] for one in told["tensors"]} == {
        "a": "ours",
        "b": "theirs",
        "c": "merged",
    }
    shown = waiting("show", "v3").out
    assert "c slerp t=0.25, by " in shown
    assert ": a little" in shown
    (line,) = (line for line in shown.splitlines() if line.startswith("c "))
    assert line.split() == ["c", "merged", "slerp", "t=0.25", "changed", "on", "both", "sides"]
    assert waiting("show", "v2", "--json").json["merge"] is None
