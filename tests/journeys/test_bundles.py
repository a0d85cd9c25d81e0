"""Exported versions from strangers: nothing in one breaks a repository, leaves a folder or ends in a raw error."""

from __future__ import annotations

import hashlib
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lepton_ai import errors
from lepton_ai.history import bundle as bundles
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    (tmp_path / "a").write_bytes(b"x")
    made = ModelRepository(tmp_path / "repo", author="anna", encrypt=False)
    made.save_files(tmp_path / "a")
    return made


def _bundle(
    folder: Path,
    content: list[tuple[str, bytes]],
    links: dict[str, str] | None = None,
    attached: tuple[bytes, ...] = (),
    **changes: Any,
) -> Path:
    entries: list[dict[str, Any]] = [
        {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "executable": True}
        for path, data in content
    ]
    entries += [{"path": p, "sha256": "", "size": 0, "target": t} for p, t in (links or {}).items()]
    record = {
        "name": "v1",
        "branch": "main",
        "author": "x",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "operation": {"kind": "save"},
        "files": entries,
        **changes,
    }
    place = folder / "stranger.lepton"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("version.json", json.dumps({"id": "00" * 32, "record": record, "schema": 1}))
        for path, data in dict(content).items():
            archive.writestr("files/" + path, data)
        for data in attached:
            archive.writestr("attachments/" + hashlib.sha256(data).hexdigest(), data)
    return place


def _attached(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _is_refused(repo: ModelRepository, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.Damaged):
        repo.import_version(bundle)
    assert [info.name for info in repo.list_versions()] == ["v1"]
    repo.save_files(tmp_path / "a")
    assert len(repo.list_versions()) == 2


@pytest.mark.parametrize(
    "path", [".git/hooks/post-commit", ".lepton/current", "x/.Git/config", ".", "a//b", "../a", "/a"]
)
def test_paths_that_no_checkout_may_write(repo: ModelRepository, tmp_path: Path, path: str) -> None:
    _is_refused(repo, _bundle(tmp_path, [(path, b"evil")]), tmp_path)


@pytest.mark.parametrize("links", [{"a": "."}, {"l1": ".", "l2": "l1/.."}, {"l": "../../etc"}])
def test_links_that_defeat_the_guard(repo: ModelRepository, tmp_path: Path, links: dict[str, str]) -> None:
    _is_refused(repo, _bundle(tmp_path, [("a/b", b"evil")], links), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"acc": "foo"}},
        {"files": [{"path": "a", "sha256": "zz", "size": -5}]},
        {"files": [{"path": "a", "sha256": hashlib.sha256(b"1").hexdigest(), "size": 1 << 60}]},
        {"files": []},
        {"training": {"sha256": "zz", "size": 1}},
        {"params": {"": 1}},
        {"created_at": 5},
    ],
)
def test_records_that_cannot_be_kept(repo: ModelRepository, tmp_path: Path, changes: dict[str, Any]) -> None:
    _is_refused(repo, _bundle(tmp_path, [("a", b"1")], **changes), tmp_path)


def test_two_files_of_one_path(repo: ModelRepository, tmp_path: Path) -> None:
    _is_refused(repo, _bundle(tmp_path, [("a", b"1"), ("a", b"1")]), tmp_path)


@pytest.mark.parametrize("data", [b"{}x", b'{"loss": ["high"]}', b"[1]"])
def test_curves_that_are_none(repo: ModelRepository, tmp_path: Path, data: bytes) -> None:
    bundle = _bundle(tmp_path, [("a", b"1")], attached=(data,), training=_attached(data))
    _is_refused(repo, bundle, tmp_path)


def test_a_later_schema_and_a_strange_place_are_not_taken_over(repo: ModelRepository, tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, [("b", b"2"), ("a", b"1")], schema=2, revises="zz", parents=["q"])
    version = repo.import_version(bundle)
    assert [file.path for file in version.files] == ["a", "b"]
    assert (version.record.schema, version.record.revises) == (1, None)
    repo.save_files(tmp_path / "a")
    repo.gc()
    assert repo.verify().clean


def test_broken_ones_end_in_plain_errors(repo: ModelRepository, tmp_path: Path) -> None:
    repo.save_files([tmp_path / "a"], history={"loss": [1.0]}, params={"p": [1, 2]})
    bundle = repo.export_version("v2", tmp_path / "v2.lepton")
    whole = bundle.read_bytes()
    chance = random.Random(5)
    refused = 0
    for number in range(400):
        broken = bytearray(whole)
        tail = len(broken) - 700 if number % 2 else 0
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(tail, len(broken))] = chance.choice(
                [0, 1, 0x7F, 0xFF, chance.randrange(256)]
            )
        bundle.write_bytes(broken[: chance.randrange(len(broken))] if number % 7 == 0 else broken)
        folder = tmp_path / f"out-{number}"
        folder.mkdir()
        try:
            bundles.unpack(bundle, folder)
        except (errors.Damaged, errors.UsageError, errors.TooNew):
            refused += 1
    assert refused > 200


class TestExport:
    def test_only_files_are_replaced(self, repo: ModelRepository, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for place in (tmp_path / "pipe", tmp_path):
            with pytest.raises(errors.UsageError, match="no file to replace"):
                repo.export_version("v1", place, force=True)
        assert (tmp_path / "pipe").is_fifo()

    def test_a_long_name(self, repo: ModelRepository, tmp_path: Path) -> None:
        target = tmp_path / ("模" * 85)
        assert repo.export_version("v1", target).is_file()

    def test_a_full_disk_is_told(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = repo.export_version("v1", tmp_path / "whole")

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(errors.NoSpace):
            repo.export_version("v1", tmp_path / "b")
        assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
        monkeypatch.undo()
        monkeypatch.setattr(bundles.shutil, "copyfileobj", full)
        with pytest.raises(errors.NoSpace):
            repo.import_version(bundle)
