"""Writers whose writing does not show in a file's times: mappings, and files that stay open."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.history import sight
from lepton_ai.repository import ModelRepository
from tests.journeys.sights import (
    SIZE,
    WAIT,
    any_disk,
    content,
    left_alone,
    only_where_files_are_recognised,
    quick,
    read,
    repo,
)

__all__ = ["any_disk", "quick", "read", "repo"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(params=["disk", "memory"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file where the tests run, and one on a tmpfs where there is one (else in the other temporary folder)."""
    memory = Path("/dev/shm")
    base = tmp_path if request.param == "disk" else memory if memory.is_dir() else None
    folder = Path(tempfile.mkdtemp(dir=base))
    left_alone((folder / "m.bin", b"\0" * SIZE))
    yield folder / "m.bin"
    shutil.rmtree(folder)


def _mapped(file: Path) -> mmap.mmap:
    """The file mapped for writing, and closed."""
    with file.open("r+b") as handle:
        return mmap.mmap(handle.fileno(), 0)


def test_what_a_mapping_writes_while_it_is_there_is_saved(
    repo: ModelRepository, file: Path, tmp_path: Path
) -> None:
    with _mapped(file) as mapping:
        mapping[0] = 1
        time.sleep(WAIT)
        for state in (2, 3):
            repo.save_files(file)
            mapping[0] = state
            time.sleep(WAIT)
        assert content(repo.save_files(file), tmp_path / "out", "m.bin")[0] == 3
        mapping[0] = 4
    assert content(repo.save_files(file), tmp_path / "out", "m.bin")[0] == 4


def test_what_a_later_mapping_writes_is_saved(repo: ModelRepository, file: Path, tmp_path: Path) -> None:
    for state in (1, 2, 3):
        repo.save_files(file)
        with _mapped(file) as mapping:
            assert mapping[0] == state - 1  # the page is there, not yet for writing
            mapping[0] = state
        time.sleep(WAIT)
        assert content(repo.save_files(file), tmp_path / f"out-{state}", "m.bin")[0] == state


@only_where_files_are_recognised
@pytest.mark.usefixtures("any_disk")
def test_while_somebody_has_it_open_for_writing_it_is_read(
    repo: ModelRepository, tmp_path: Path, read: list[str]
) -> None:
    """One long ``write`` moves the times when it begins; they tell nothing of when it ends."""
    file = tmp_path / "m.bin"
    left_alone((file, b"\0" * SIZE))
    with file.open("r+b"):
        for _ in range(2):
            read.clear()
            repo.save_files(file)
            assert read == ["m.bin"]
    repo.save_files(file)
    read.clear()
    repo.save_files(file)
    assert read == []
    with file.open("r+b"):
        repo.save_files(file)
    assert read == ["m.bin"]
    read.clear()
    with file.open("rb"):
        repo.save_files(file)
    assert read == []


@only_where_files_are_recognised
def test_a_lease_is_given_back_at_once(tmp_path: Path) -> None:
    file = tmp_path / "m.bin"
    left_alone((file, b"\0" * SIZE))
    descriptor = os.open(file, os.O_RDONLY)
    try:
        assert sight._unwritten(descriptor)
        os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))  # with a lease on it: "try again"
    finally:
        os.close(descriptor)


@only_where_files_are_recognised
@pytest.mark.parametrize("kind", ["tmpfs", "nfs4", "overlay", "fuse.sshfs", "vfat", "ext3", ""])
def test_only_some_file_systems_are_trusted(
    repo: ModelRepository, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sight.Watch, "_kind", lambda *_: kind)
    left_alone((tmp_path / "m.bin", b"\0" * SIZE))
    for _ in range(2):
        read.clear()
        repo.save_files(tmp_path / "m.bin")
        assert read == ["m.bin"]


@only_where_files_are_recognised
def test_the_kind_of_file_system_is_that_of_the_mount(tmp_path: Path) -> None:
    """As ``stat -f`` and ``df`` see it: a folder of the kernel's own, and one in memory where there is one."""
    with Path("/proc/self/stat").open("rb") as handle:
        assert sight.Watch()._kind(handle.fileno()) == "proc"
    with Path("/dev/null").open("rb") as handle:
        assert sight.Watch()._kind(handle.fileno()) in ("devtmpfs", "tmpfs")
