"""init, save and update, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Lepton, model

FIELDS = [
    "name", "id", "branch", "status", "created_at", "updated_at", "author", "metrics", "raw_bytes",
    "stored_bytes", "message", "revision",
]  # fmt: skip


def test_init_prints_where_the_recovery_key_is_and_nothing_else(lepton: Lepton, here: Path) -> None:
    done = lepton("init", "models/digits")
    recovery = Path(done.out.rstrip("\n"))
    assert recovery.read_text().startswith("lepton-ai recovery key 1")
    assert recovery.parent == here.parent / "home" / "config" / "lepton-ai" / "keys"
    assert done.err == f"lepton: made a repository in {here / 'models/digits'}\n"
    assert (here / "models/digits/.lepton/config.json").is_file()


def test_init_for_machines(lepton: Lepton, here: Path) -> None:
    told = lepton("init", "--recovery-file", "digits.recovery", "--json").json
    assert list(told) == ["path", "id", "encrypted", "recovery_file"]
    assert told["path"] == str(here)
    assert told["encrypted"] is True
    assert told["recovery_file"] == str(here / "digits.recovery")
    assert (here / "digits.recovery").is_file()


def test_init_without_encryption_has_no_key_to_tell(lepton: Lepton) -> None:
    done = lepton("init", "--no-encrypt")
    assert done.out == ""
    assert done.err.endswith(", without encryption\n")


def test_init_twice_is_an_error(lepton: Lepton) -> None:
    lepton("init")
    assert lepton("init", "--json", code=2).error["kind"] == "already-exists"


def test_init_where_nothing_can_be_made(lepton: Lepton, here: Path) -> None:
    (here / "file").write_text("x")
    assert lepton("init", "file", "--json", code=2).error["hint"] == "name a folder"
    assert lepton("init", "file/inside", "--json", code=3).error["kind"] == "storage-failed"


def test_the_first_save_makes_a_repository_and_says_so(lepton: Lepton, here: Path) -> None:
    done = lepton("save", model(), "-m", "first")
    first, second = done.err.splitlines()
    assert first == f"lepton: made a new repository in {here}"
    assert second.startswith("lepton: keep its recovery key safe: /")
    assert done.out.startswith("saved main@v1  ")
    assert "1 file, 8.3 KiB; " in done.out
    assert done.out.rstrip().endswith("newly stored")


def test_a_mistyped_path_leaves_no_repository(lepton: Lepton, here: Path) -> None:
    assert lepton("save", "modle.safetensors", "--json", code=2).error["kind"] == "not-found"
    assert not (here / ".lepton").exists()


def test_save_does_not_make_a_repository_that_was_named(lepton: Lepton, here: Path) -> None:
    error = lepton("save", model(), "--repo", "typo", "--json", code=2).error
    assert error == {
        "kind": "not-found",
        "message": "there is no repository in typo",
        "hint": "lepton init typo makes one",
    }
    assert not (here / "typo").exists()


def test_save_makes_the_default_repository(
    lepton: Lepton, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_AI_REPO", str(here / "default"))
    assert f"made a new repository in {here / 'default'}" in lepton("save", model()).err
    assert lepton("versions", "--json").json[0]["name"] == "v1"


def test_everything_that_a_version_carries(lepton: Lepton) -> None:
    Path("history.json").write_text(json.dumps({"loss": [0.9, 0.5], "accuracy": [0.5, 0.9]}))
    told = lepton(
        "save", model(), "-m", "with everything", "--author", "Bela", "--name", "best",
        "--metric", "accuracy=0.97", "--metric", "loss=nan",
        "--param", "epochs=10", "--param", "optimizer=adam", "--param", "layers=[1, 2]", "--param", "on=true",
        "--dataset", "digits", "--dataset", "rows=1797", "--dataset", "source=sklearn",
        "--dataset", "preprocessing=scale", "--dataset", "preprocessing=split", "--dataset", "licence=BSD",
        "--history", "history.json", "--json",
    ).json  # fmt: skip
    assert list(told) == [*FIELDS, "new_bytes", "notes"]
    assert told["name"] == "best"
    assert told["new_bytes"] > 0
    assert told["notes"] == []
    assert told["metrics"] == {"accuracy": 0.97, "loss": "NaN"}
    shown = lepton("show", "best", "--json").json
    assert shown["author"] == "Bela"
    assert shown["message"] == "with everything"
    assert shown["params"] == {"epochs": 10, "optimizer": "adam", "layers": [1, 2], "on": True}
    assert shown["dataset"] == {
        "name": "digits", "source": "sklearn", "rows": 1797, "preprocessing": ["scale", "split"],
        "extra": {"licence": "BSD"},
    }  # fmt: skip
    assert shown["history"] == {"loss": [0.9, 0.5], "accuracy": [0.5, 0.9]}


def test_a_dataset_as_json(lepton: Lepton) -> None:
    lepton("save", model(), "--dataset", '{"name": "wiki", "rows": 12}')
    assert lepton("show", "v1", "--json").json["dataset"] == {"name": "wiki", "rows": 12}
    error = lepton("save", model(), "--dataset", "{name", "--json", code=2).error
    assert error["message"].startswith("--dataset {name: JSON is malformed")


def test_a_folder_and_several_files(lepton: Lepton) -> None:
    Path("folder/sub").mkdir(parents=True)
    model("folder/model.safetensors")
    Path("folder/sub/config.json").write_text("{}")
    lepton("save", "folder")
    assert [f["path"] for f in lepton("show", "v1", "--json").json["files"]] == [
        "model.safetensors", "sub/config.json",
    ]  # fmt: skip
    Path("readme.md").write_text("x")
    assert "2 files" in lepton("save", "folder/model.safetensors", "readme.md").out


def test_a_file_that_lies_is_kept_as_it_is_and_said(lepton: Lepton) -> None:
    Path("broken.safetensors").write_bytes(b"\xff" * 100)
    done = lepton("save", "broken.safetensors")
    assert "lepton: broken.safetensors is kept as opaque bytes: " in done.err
    told = lepton("save", "broken.safetensors", "--json").json
    assert told["notes"][0].startswith("broken.safetensors is kept as opaque bytes: ")
    assert told["new_bytes"] == 0


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--metric", "acc", "--metric acc: there is no name=value"),
        ("--metric", "=1", "--metric =1: there is no name=value"),
        ("--metric", "acc=good", "--metric acc=good: 'good' is not a number"),
        ("--param", "lr", "--param lr: there is no name=value"),
        ("--dataset", "rows=many", "dataset: Expected `int | null`, got `str` - at `$.rows`"),
        ("--history", "missing.json", "there is no"),
        ("--name", "a/b", "'a/b' cannot name a version"),
        ("--parent", "v7", "there is no version 'v7' on branch 'main'"),
    ],
)
def test_wrong_values(lepton: Lepton, option: str, value: str, says: str) -> None:
    lepton("init")
    error = lepton("save", model(), option, value, "--json", code=2).error
    assert error["message"].startswith(says)
    assert lepton("versions", "--json").json == []


def test_a_name_that_exists_points_to_update(three: Lepton) -> None:
    error = three("save", "model.safetensors", "--name", "v2", "--json", code=2).error
    assert error["kind"] == "already-exists"
    assert error["message"] == "branch 'main' has a version 'v2' already"
    assert error["hint"] == "a new revision of it: lepton update main@v2 model.safetensors"
    assert three(*error["hint"].split("lepton ")[1].split()).code == 0


def test_a_branch_that_does_not_exist_points_to_its_making(three: Lepton) -> None:
    error = three("save", "model.safetensors", "-b", "feature", "--json", code=2).error
    assert error["message"] == "there is no branch 'feature'"
    assert error["hint"] == "lepton branch feature makes it"
    three("branch", "feature")
    assert three("save", "model.safetensors", "-b", "feature", "--json").json["branch"] == "feature"
    three("branch", "--delete", "feature")
    error = three("save", "model.safetensors", "-b", "feature", "--json", code=2).error
    assert error["hint"] == "lepton restore --branch feature brings it back"


def test_a_parent_that_is_not_the_newest_any_more(three: Lepton) -> None:
    assert three("save", "model.safetensors", "--parent", "v2", "--json", code=3).error["kind"] == "lost-race"
    assert three("save", "model.safetensors", "--parent", "v3", "--json").json["name"] == "v4"


def test_update_writes_a_revision(three: Lepton) -> None:
    told = three("update", "v2", model(step=9), "--metric", "f1=0.5", "-m", "longer", "--json").json
    assert list(told) == [*FIELDS, "new_bytes", "notes"]
    assert (told["name"], told["revision"], told["metrics"]) == ("v2", 2, {"f1": 0.5})
    shown = three("show", "v2~1", "--json").json
    assert shown["metrics"] == {"accuracy": 0.91}
    assert [r["revision"] for r in shown["revisions"]] == [1, 2]
    assert three("show", "v2", "--json").json["params"] == {"step": 1}
    assert three("update", "v2", "--metric", "f1=0.6").out.startswith("updated main@v2, revision 3  ")


def test_update_takes_several_files(three: Lepton) -> None:
    Path("notes.txt").write_text("x")
    three("update", "v3", "model.safetensors", "notes.txt")
    assert len(three("show", "v3", "--json").json["files"]) == 2


def test_update_of_nothing_or_nowhere(three: Lepton) -> None:
    assert three("update", "v2", "--json", code=2).error["message"] == "nothing to update"
    assert three("update", "v9", "-m", "x", "--json", code=2).error["kind"] == "not-found"
    three("delete", "v1")
    error = three("update", "v1", "-m", "x", "--json", code=2).error
    assert error["hint"] == "lepton restore v1 brings it back"
