"""Checkout, export, import, backup and restore-backup may die at any instruction, and can simply be repeated."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lepton_ai.history import staging
from lepton_ai.repository import ModelRepository

from . import children

LAST = 400
"""More steps than any of these has."""


class Folder:
    """A repository with two versions of two files, and what is made from it."""

    def __init__(self, place: Path) -> None:
        self.repo, self.work = place / "repo", place / "work"
        self.bundle, self.backup = place / "v1.lepton", place / "backup"
        self.versions: list[dict[str, bytes]] = []
        rng = random.Random(5)
        with ModelRepository(self.repo, author="anna", encrypt=False) as repository:
            for _ in range(2):
                files = {"a.bin": rng.randbytes(50_000), "sub/b.bin": rng.randbytes(50_000)}
                for name, data in files.items():
                    (place / "model" / name).parent.mkdir(parents=True, exist_ok=True)
                    (place / "model" / name).write_bytes(data)
                repository.save_files(place / "model")
                self.versions.append(files)
            repository.checkout("v1", self.work)
            repository.export_version("v1", self.bundle)

    def files(self) -> dict[str, bytes]:
        """What lies in the work folder, but for what a save passes over."""
        with ModelRepository(self.repo, create=False, author="anna") as repository:
            saved = repository.save_files(self.work, "probe")
            return {entry.path: (self.work / entry.path).read_bytes() for entry in saved.files}

    def names(self, place: Path) -> list[str]:
        """Versions of a repository, every one of which reads back."""
        with ModelRepository(place, create=False) as repository:
            assert repository.verify().clean
            return [info.name for info in repository.list_versions("main")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    made = Folder(tmp_path)
    with ModelRepository(made.repo, create=False) as repository:
        repository.create_branch("probe")
    return made


def _deaths(target: Callable[..., None], *arguments: str, stride: int = 1) -> Iterator[bool]:
    """Run it again and again, killed at a later step every time; at last it lives, and True is given."""
    for event in range(1, LAST, stride):
        code = children.run(target, *arguments, event)
        yield code == 0
        if code == 0:
            assert event > 5, "it was killed too seldom to test anything"
            return
    raise AssertionError("it has more steps than were tried")


def test_a_checkout_killed_at_every_step(folder: Folder) -> None:
    old, new = folder.versions
    for done in _deaths(children.checkout, str(folder.repo), "v2", str(folder.work)):
        there = folder.files()
        assert there.keys() == new.keys()
        assert all(data in {old[name], new[name]} for name, data in there.items())
        if done:
            assert there == new
        else:
            with ModelRepository(folder.repo, create=False) as repository:
                repository.checkout("v1", folder.work)
    _clear_away(
        folder.work, lambda: children.run(children.checkout, str(folder.repo), "v1", str(folder.work), 0)
    )
    assert sorted(p.name for p in folder.work.rglob("*")) == ["a.bin", "b.bin", "sub"]


def test_an_export_killed_at_every_step(folder: Folder) -> None:
    old = folder.bundle.read_bytes()
    with ModelRepository(folder.repo, create=False) as repository:
        new = repository.export_version("v2", folder.bundle.with_name("v2.lepton")).read_bytes()
    target = folder.work / "it.lepton"
    target.write_bytes(old)
    for done in _deaths(children.export, str(folder.repo), "v2", str(target)):
        assert target.read_bytes() in ({new} if done else {old, new})
        assert folder.files().keys() == {"a.bin", "sub/b.bin", "it.lepton"}
        target.write_bytes(old)
    _clear_away(folder.work, lambda: children.run(children.export, str(folder.repo), "v2", str(target), 0))
    assert {p.name for p in folder.work.iterdir()} == {"a.bin", "sub", "it.lepton"}


def test_an_import_killed_at_every_step(folder: Folder) -> None:
    count = 2
    for done in _deaths(children.import_, str(folder.repo), str(folder.bundle), stride=3):
        names = folder.names(folder.repo)
        assert names[:2] == ["v1", "v2"]
        assert len(names) - count in ({1} if done else {0, 1})
        count = len(names)
    with ModelRepository(folder.repo, create=False) as repository:
        (place, _) = repository.checkout(names[-1], folder.work / "out")
        assert place.read_bytes() == folder.versions[0]["a.bin"]


def test_a_backup_killed_at_every_step(folder: Folder) -> None:
    with ModelRepository(folder.repo, create=False) as repository:
        repository.backup(folder.backup)
        repository.rollback("v1", "main")
    for done in _deaths(children.back_up, str(folder.repo), str(folder.backup), stride=3):
        names = folder.names(folder.backup)
        assert names == ["v1", "v2", "v3"] or (not done and names == ["v1", "v2"])
    assert not list((folder.backup / ".lepton").rglob("*.part"))


def test_a_restore_killed_at_every_step(folder: Folder) -> None:
    with ModelRepository(folder.repo, create=False) as repository:
        repository.backup(folder.backup)
    target = folder.work / "back"
    for _ in _deaths(children.bring_back, str(folder.backup), str(target), stride=5):
        if (target / ".lepton").exists():
            assert folder.names(target) == ["v1", "v2"]
            break
        assert folder.files().keys() == {"a.bin", "sub/b.bin"}
    else:
        raise AssertionError("it never was there")


def _clear_away(place: Path, again: Callable[[], object]) -> None:
    """Do it again when what was left is old enough to be taken away."""
    for left in place.rglob(f"*{staging.PART}"):
        os.utime(left, (0, 0), follow_symlinks=False)
    assert again() == 0
