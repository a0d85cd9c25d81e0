"""``lepton import`` of what other tools kept: what it prints, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lepton_ai.cli import importing
from tests.incoming.unpacked import unpack

from .conftest import Lepton, model


@pytest.fixture
def project(tmp_path: Path, lepton: Lepton) -> Path:
    """A project with DVC, beside an empty repository in the current folder."""
    lepton("init")
    return unpack("dvc", tmp_path / "sources") / "project"


def test_a_table_of_what_came(project: Path, lepton: Lepton) -> None:
    dry = lepton("import", project, "--dry-run").out.splitlines()
    assert dry[0].split() == ["Version", "Author", "Created", "At", "Files", "Size", "Message"]
    assert dry[-1] == f"from dvc in {project}: 6 versions would come"
    assert lepton("versions").out.count("\n") <= 1, "a dry run makes nothing"
    told = lepton("import", project).out
    assert (
        "main@v1              Anna Müller <anna@example.com>  2023-11-14 23:13:20      3  2.1 KiB  First model"
        in told
    )
    assert "tag v1.0 is v1\ntag r-v2 is v4\n" in told
    assert "tag      v2     r-v2  it cannot be called so here" in told
    assert f"from dvc in {project}: 6 versions taken; " in told
    assert lepton("import", project).out == f"from dvc in {project}: 0 versions taken, 6 here already\n"
    shown = lepton("show", "v1").out
    assert "Made by:     import\n" in shown
    assert f"dvc in {project}, by Anna on 20" in shown


def test_json_of_what_came_and_what_did_not(project: Path, lepton: Lepton) -> None:
    lock = ["git", "-C", str(project), "show", "v1.0:dvc.lock"]
    told = subprocess.run(lock, check=True, capture_output=True, text=True).stdout
    md5 = told.rpartition("md5: ")[2].split()[0]
    (project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    (project.parent / "remote").rename(project.parent / "gone")
    told = lepton("import", project, "-b", "vendor", "--json").json
    assert set(told) == {
        "kind", "place", "scope", "dry_run", "known", "taken", "labels", "renamed", "left", "new_bytes",
    }  # fmt: skip
    assert (told["kind"], told["place"], told["known"]) == ("dvc", str(project), 0)
    assert {taken["branch"] for taken in told["taken"]} == {"vendor", "side-5a930875", "experiment/small"}
    assert [taken["missing"] for taken in told["taken"]] == [1, 0, 0, 0, 0, 0]
    first = told["taken"][0]
    assert told["left"] == [
        {
            "what": "file models/model.safetensors",
            "why": f"its object {md5} is in no cache or folder at hand",
            "reference": f"git commit {first['reference'][:12]}",
        }
    ]
    origin = lepton("show", first["id"], "--json").json["operation"]["origin"]
    assert (origin["reference"], origin["missing"]) == (first["reference"], ["models/model.safetensors"])
    shown = lepton("show", first["id"]).out
    assert ", without models/model.safetensors\n" in shown
    table = lepton("import", project, "-b", "again", "--path", "models").out
    assert "none of its files can be had" in table
    assert "Not taken" in table


def test_what_is_refused(project: Path, lepton: Lepton) -> None:
    assert "is far away" in lepton("import", "s3://bucket/model", "--json", code=2).error["message"]
    assert "'svn' is no kind" in lepton("import", project, "--from", "svn", "--json", code=2).error["message"]
    assert (
        "--name is for a bundle"
        in lepton("import", project, "--name", "x", "--json", code=2).error["message"]
    )
    assert "MLflow registry" in lepton("import", project, "--model", "x", "--json", code=2).error["message"]
    lepton("save", model())
    lepton("export", "v1")
    refused = lepton("import", "v1.lepton", "--dry-run", "--json", code=2).error
    assert refused["message"] == "--dry-run is not for a bundle"
    assert lepton("import", "v1.lepton", "--json").json["name"] == "v2"


def test_the_shell_offers_kinds() -> None:
    assert importing.kinds("") == ["dvc", "git-lfs", "mlflow", "huggingface"]
    assert importing.kinds("m") == ["mlflow"]
