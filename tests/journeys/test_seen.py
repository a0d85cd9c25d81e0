"""Files that have not changed are not read again, and files that have are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.history import seen, writing

SIZE = seen.SMALLEST * 2


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with two files that were left alone for a while."""
    folder = tmp_path / "model"
    folder.mkdir()
    for number, name in enumerate(("a.bin", "b.bin")):
        (folder / name).write_bytes(bytes([number]) * SIZE)
    return folder


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by a minute before every save."""
    real, passed = time.time_ns, [0]

    def now() -> int:
        passed[0] += 60_000_000_000
        return real() + passed[0]

    monkeypatch.setattr(writing.time, "time_ns", now)
    monkeypatch.setattr(seen.time, "time_ns", now)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a save reads."""
    names: list[str] = []
    add = writing.Saving._add

    def counted(self: writing.Saving, file: writing.Found, *more: object) -> writing.FileEntry:
        names.append(file.path)
        return add(self, file, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(writing.Saving, "_add", counted)
    return names


@pytest.mark.usefixtures("later")
def test_what_has_not_changed_is_not_read(tmp_path: Path, model: Path, read: list[str]) -> None:
    repo = ModelRepository(tmp_path / "repo")
    first = repo.save_files(model, repo.branch("main"))
    assert read == ["a.bin", "b.bin"]
    read.clear()
    (model / "b.bin").write_bytes(b"new" * SIZE)
    second = repo.save_files(model, repo.branch("main"))
    assert read == ["b.bin"]
    read.clear()
    again = ModelRepository(tmp_path / "repo")
    third = again.save_files(model, again.branch("main"))
    assert read == []
    for version, name, data in (
        (first, "a.bin", b"\0" * SIZE),
        (second, "b.bin", b"new" * SIZE),
        (third, "b.bin", b"new" * SIZE),
    ):
        out = tmp_path / f"out-{version.name}"
        version.checkout(out)
        assert (out / name).read_bytes() == data
    assert repo.verify().clean


@pytest.mark.usefixtures("later")
def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path, model: Path, read: list[str]) -> None:
    """Whoever sets the time of modification back cannot set the time of change back."""
    repo = ModelRepository(tmp_path / "repo")
    repo.save_files(model, repo.branch("main"))
    before = (model / "a.bin").stat()
    time.sleep(0.02)
    (model / "a.bin").write_bytes(b"x" * SIZE)
    os.utime(model / "a.bin", ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    repo.save_files(model, repo.branch("main")).checkout(tmp_path / "out")
    assert read == ["a.bin"]
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"x" * SIZE


def test_a_file_that_was_only_just_written_is_read_again(
    tmp_path: Path, model: Path, read: list[str]
) -> None:
    repo = ModelRepository(tmp_path / "repo")
    for _ in range(2):
        repo.save_files(model, repo.branch("main"))
    assert read == ["a.bin", "b.bin"] * 2


@pytest.mark.usefixtures("later")
def test_what_is_gone_from_the_store_is_read_again(tmp_path: Path, model: Path, read: list[str]) -> None:
    repo = ModelRepository(tmp_path / "repo")
    version = repo.save_files(model, repo.branch("main"))
    repo.create_branch("other")
    repo.delete_version(version)
    repo.gc(grace=0)
    read.clear()
    repo.save_files(model, repo.branch("main")).checkout(tmp_path / "out")
    assert read == ["a.bin", "b.bin"]
    assert (tmp_path / "out" / "b.bin").read_bytes() == b"\1" * SIZE


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", [b"", b"no list", b"\x81\xa1a\x01"])
def test_a_broken_list_is_none(tmp_path: Path, model: Path, read: list[str], damage: bytes) -> None:
    repo = ModelRepository(tmp_path / "repo")
    repo.save_files(model, repo.branch("main"))
    (tmp_path / "repo" / ".lepton" / "seen").write_bytes(damage)
    read.clear()
    repo.save_files(model, repo.branch("main"))
    assert read == ["a.bin", "b.bin"]
