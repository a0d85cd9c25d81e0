"""What killed processes leave in somebody's folder: it becomes part of no version, and goes the next time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history import staging
from lepton_ai.history.restoring import restore
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    repo = ModelRepository(tmp_path / "repo", author="anna")
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "sub" / "m.bin").write_bytes(b"model")
    repo.save_files(tmp_path / "model")
    return repo


def _age(place: Path) -> Path:
    os.utime(place, times=(time.time() - 3600,) * 2, follow_symlinks=False)
    return place


def _part(folder: Path, number: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    left = staging.part_beside(folder / f"m{number}")
    left.write_bytes(b"half a mod")
    return left


def _draft(folder: Path) -> Path:
    left = folder / ".lepton-new-0123abcd"
    (left / "keys").mkdir(parents=True)
    (left / "keys" / "id.json").write_text("wrapped")
    return left


def test_they_are_in_no_version(repo: ModelRepository, tmp_path: Path) -> None:
    _part(tmp_path / "model")
    _part(tmp_path / "model" / "sub")
    _draft(tmp_path / "model")
    (tmp_path / "model" / ".lepton-news").write_bytes(b"mine")
    saved = repo.save_files(tmp_path / "model")
    assert [entry.path for entry in saved.files] == [".lepton-news", "sub/m.bin"]


def test_a_checkout_takes_them_away_where_it_writes(repo: ModelRepository, tmp_path: Path) -> None:
    left = _age(_part(tmp_path / "out" / "sub"))
    link = left.with_name(".0123456789abcdef.lepton-part")
    link.symlink_to("nowhere")
    _age(link)
    mine = [_age(_part(tmp_path / "out" / "other")), _age(left.rename(left.with_name(".mine.lepton-part")))]
    left.write_bytes(b"again")
    _age(left)
    repo.checkout("v1", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "sub").iterdir()) == [".mine.lepton-part", "m.bin"]
    assert all(place.exists() for place in mine)


def test_an_export_takes_them_away(repo: ModelRepository, tmp_path: Path) -> None:
    left = _age(_part(tmp_path / "out"))
    repo.export_version("v1", tmp_path / "out" / "v1.lepton")
    assert not left.exists()


def test_what_is_being_written_stays(repo: ModelRepository, tmp_path: Path) -> None:
    fresh, held = _part(tmp_path / "out" / "sub", 1), _age(_part(tmp_path / "out" / "sub", 2))
    with held.open("rb") as file:
        staging.hold(file.fileno())
        repo.checkout("v1", tmp_path / "out")
    assert fresh.exists()
    assert held.exists()


@pytest.mark.parametrize("act", ["checkout", "export"])
def test_writers_hold_what_they_write(
    repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Whoever is slow must not be taken for dead."""
    monkeypatch.setattr(staging, "BRAND_NEW", -1.0)
    seen = []

    class Other:
        def start(self, task: str, total: int) -> None:
            pass

        def advance(self, amount: int) -> None:
            if amount:
                parts = list((tmp_path / "out").rglob("*.lepton-part"))
                for part in parts:
                    staging.sweep_parts(part.parent)
                    seen.append(part.exists())

    repo.progress = Other()
    if act == "checkout":
        repo.checkout("v1", tmp_path / "out")
    else:
        (tmp_path / "out").mkdir()
        repo.export_version("v1", tmp_path / "out" / "v1.lepton")
    assert seen
    assert all(seen)


@pytest.mark.parametrize("act", ["init", "restore"])
def test_a_killed_init_or_restore_is_cleared_away(repo: ModelRepository, tmp_path: Path, act: str) -> None:
    repo.backup(tmp_path / "backup")
    place = tmp_path / "new"
    left = _draft(place)
    held = place / ".lepton-new-00000000"
    held.mkdir()
    _age(left)
    _age(held)
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    doing: dict[str, Callable[[], object]] = {
        "init": lambda: ModelRepository(place).close(),
        "restore": lambda: restore(tmp_path / "backup", place),
    }
    doing[act]()
    os.close(descriptor)
    assert sorted(p.name for p in place.iterdir()) == [".lepton", held.name]


def test_a_draft_is_held_while_it_is_made(
    repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.backup(tmp_path / "backup")
    monkeypatch.setattr(staging, "BRAND_NEW", -1.0)

    class Other:
        def start(self, task: str, total: int) -> None:
            if task == "restoring":
                ModelRepository(tmp_path / "new").close()

        def advance(self, amount: int) -> None:
            pass

    with pytest.raises(errors.StorageFailed, match="not empty"):  # the other was faster
        restore(tmp_path / "backup", tmp_path / "new", progress=Other())
    assert [p.name for p in (tmp_path / "new").iterdir()] == [".lepton"]
