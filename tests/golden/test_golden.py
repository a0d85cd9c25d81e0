"""Repositories written by earlier releases are read by this one, to the last byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from lepton_ai.repository import ModelRepository

HERE = Path(__file__).parent
FORMATS = sorted(path.parent for path in HERE.glob("format-*/expected.json"))


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(request.param, tmp_path / "repo", symlinks=True)
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(tmp_path / "repo" / "key"))
    return tmp_path / "repo"


def test_there_is_one_of_every_format() -> None:
    assert [path.name for path in FORMATS] == ["format-1"]


def test_everything_reads_as_it_was_written(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "expected.json").read_text())
    with ModelRepository(golden, create=False) as repo:
        found = {f"{info.branch}@{info.name}": info for info in repo.list_versions(deleted=True)}
        assert set(found) == set(expected["versions"])
        for name, wanted in expected["versions"].items():
            info = found[name]
            assert (info.id, info.status, info.metrics, info.revision) == (
                *(wanted["id"], wanted["status"], wanted["metrics"], wanted["revision"]),
            )
            if info.status != "Active":
                continue
            version = repo.version(info.id)
            out = tmp_path / "out" / info.id
            version.checkout(out)
            for path, digest in wanted["files"].items():
                if digest:
                    assert hashlib.sha256((out / path).read_bytes()).hexdigest() == digest
            read = {f"{t.file}:{t.name}" for t in version.tensors()}
            assert read == set(wanted["tensors"])
            for tensor, digest in wanted["tensors"].items():
                assert hashlib.sha256(version.tensor(tensor).tobytes()).hexdigest() == digest
        assert {n: v.id for n, v in {**repo.tags(), **repo.aliases()}.items()} == expected["labels"]
        assert len(repo.log()) == expected["log"]
        assert repo.verify().clean


def test_it_can_be_written_on(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "new.bin").write_bytes(b"new")
    with ModelRepository(golden, create=False) as repo:
        version = repo.save_files(tmp_path / "new.bin")
        assert version.name == "v6"
        repo.restore_version("v5")
        repo.gc(grace=0)
        assert repo.verify().clean
