"""A disk that fills up: one plain error, nothing half-done, and it works again when there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history import checkout as checkouts
from lepton_ai.history import save as saves
from lepton_ai.repository import ModelRepository


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB. Only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _file(tmp_path: Path, name: str, size: int) -> Path:
    import random

    file = tmp_path / name
    file.write_bytes(random.Random(name).randbytes(size))
    return file


def test_a_model_that_cannot_fit_is_refused_before_writing(small_disk: Path, tmp_path: Path) -> None:
    with ModelRepository(small_disk / "repo") as repo:
        with pytest.raises(errors.NoSpace, match="free"):
            repo.save_files(_file(tmp_path, "large", 5_000_000))
        assert list((repo.home.place / "packs").rglob("*.pack")) == []


def test_what_is_stored_already_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = ModelRepository(tmp_path / "repo")
    folder = tmp_path / "model"
    folder.mkdir()
    file = _file(folder, "a", 1_000_000)
    (folder / "same").write_bytes(file.read_bytes())
    (folder / "link").symlink_to("a")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=checkouts.RESERVE + 1_500_000))
    assert repo.save_files(folder).name == "v1"  # 1 MB of 2 is new
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=checkouts.RESERVE + 1000))
    assert repo.save_files(folder).new_bytes == 0
    other = _file(tmp_path, "b", 1_000_000)
    with pytest.raises(errors.NoSpace, match="free"):
        repo.save_files([file, other])
    (pack,) = (pack for pack in (repo.home.place / "packs").rglob("*.pack") if pack.stat().st_size > 900_000)
    pack.unlink()
    with pytest.raises(errors.NoSpace):  # what is lost has to be stored again
        repo.save_files(folder)


def test_a_disk_that_fills_up_meanwhile(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saves, "check_space", lambda *_: None)
    monkeypatch.setattr(checkouts, "RESERVE", 0)
    with ModelRepository(small_disk / "repo") as repo:
        small = _file(tmp_path, "small", 300_000)
        repo.save_files(small)
        for name in ("one", "two", "three"):
            with pytest.raises(errors.NoSpace):
                repo.save_files(_file(tmp_path, name, 6_000_000))
        assert [info.name for info in repo.list_versions()] == ["v1"]
        assert repo.verify().clean
        (path,) = repo.checkout("v1", tmp_path / "out")
        assert path.read_bytes() == small.read_bytes()
        repo.save_files(_file(tmp_path, "small again", 400_000))
        assert repo.verify().clean


def test_a_checkout_onto_a_full_disk(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "check_space", lambda *_: None)
    with ModelRepository(tmp_path / "repo") as repo:
        repo.save_files(_file(tmp_path, "large", 6_000_000))
        with pytest.raises(errors.NoSpace):
            repo.checkout("v1", small_disk / "out")
        assert list((small_disk / "out").iterdir()) == []
