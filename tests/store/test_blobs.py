"""The blobs that ship with the package, and what only the local folder promises."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged, NoSpace, StorageFailed
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.contract import Blobs
from lepton_ai.testing.blobs import NAME, BlobSuite, put


class TestLocal(BlobSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return LocalBlobs(tmp_path / "deep" / "objects")

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../out", "a/../../out", ".hidden", "a/.b", "."])
    def test_names_stay_below_the_root(self, blobs: Blobs, sources: Path, name: str) -> None:
        with pytest.raises(StorageFailed):
            put(blobs, sources, name, b"data")
        with pytest.raises(StorageFailed):
            blobs.get(name, 0, 1)

    def test_unfinished_files_are_not_listed(self, tmp_path: Path) -> None:
        blobs = LocalBlobs(tmp_path / "objects")
        put(blobs, tmp_path, NAME, b"data")
        (tmp_path / "objects" / "packs" / ".abc.tmp").write_bytes(b"unfinished")
        assert [info.name for info in blobs.list()] == [NAME]

    @pytest.mark.parametrize(
        ("number", "error"),
        [
            (errno.ENOSPC, NoSpace),
            (errno.EDQUOT, NoSpace),
            (errno.EACCES, StorageFailed),
            (errno.EIO, StorageFailed),
        ],
    )
    def test_errors_of_the_system_are_ours(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
    ) -> None:
        def refuse(*arguments: object) -> None:
            raise OSError(number, os.strerror(number))

        blobs = LocalBlobs(tmp_path / "objects")
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(error) as caught:
            put(blobs, tmp_path, NAME, b"data")
        assert str(tmp_path) in str(caught.value)

    def test_a_missing_source_is_a_plain_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageFailed):
            LocalBlobs(tmp_path / "objects").put(NAME, tmp_path / "nothing")

    def test_a_folder_in_the_place_of_a_blob_is_a_plain_error(self, tmp_path: Path) -> None:
        blobs = LocalBlobs(tmp_path)
        (tmp_path / NAME).mkdir(parents=True)
        with pytest.raises((StorageFailed, Damaged)):
            blobs.get(NAME, 0, 1)

    def test_every_step_is_durable_before_the_next(self, tmp_path: Path) -> None:
        """The file, the new folders from the top, the rename, the folder: seen from outside, in this order."""
        log, source = tmp_path / "trace", tmp_path / "source"
        source.write_bytes(b"data")
        code = (
            "from pathlib import Path; from lepton_ai.store.blobs.local import LocalBlobs; "
            f"LocalBlobs(Path({str(tmp_path / 'objects')!r})).put({NAME!r}, Path({str(source)!r}))"
        )
        calls = "trace=mkdir,mkdirat,fsync,fdatasync,rename,renameat,renameat2,unlink"
        command = ["strace", "-f", "-y", "-e", calls, "-o", str(log), sys.executable, "-B", "-c", code]
        subprocess.run(command, check=True, timeout=60)
        lines = [line for line in log.read_text().splitlines() if str(tmp_path) in line]
        steps = [re.sub(r"^\d+\s+", "", line).replace(str(tmp_path), "") for line in lines]
        shapes = [re.sub(r'^(\w+)\(.*?["<]([^">]*)[">].*', r"\1 \2", step) for step in steps]
        folder = f"/objects/{NAME.rpartition('/')[0]}"
        assert shapes == [
            "mkdir /objects",
            "fsync ",
            "mkdir /objects/packs",
            "fsync /objects",
            f"mkdir {folder}",
            "fsync /objects/packs",
            "fsync /source",
            "rename /source",
            f"fsync {folder}",
            "fsync /objects/packs",
            "fsync /objects",
        ]
        assert f'"/objects/{NAME}"' in steps[-4]


class TestMemory(BlobSuite):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return MemoryBlobs()

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path


class TestCounting(BlobSuite):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return CountingBlobs(MemoryBlobs())

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path

    def test_it_counts(self, sources: Path) -> None:
        blobs = CountingBlobs(MemoryBlobs())
        put(blobs, sources, "a", b"12345")
        put(blobs, sources, "b", b"12345")
        blobs.get("a", 0, 3)
        blobs.get("a", 3, 2)
        blobs.get("b", 0, 1)
        assert (blobs.puts, blobs.gets, blobs.bytes_read, blobs.opened) == (2, 3, 6, {"a", "b"})
        blobs.reset()
        assert (blobs.puts, blobs.gets, blobs.bytes_read, blobs.opened) == (0, 0, 0, set())


def test_a_file_from_another_file_system_is_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server's cache is on a disk of its own; nothing is a blob before it is whole."""
    moved = Path.rename

    def across(self: Path, target: Path) -> Path:
        if self.name == "source":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return moved(self, target)

    monkeypatch.setattr(Path, "rename", across)
    blobs = LocalBlobs(tmp_path / "objects")
    source = tmp_path / "source"
    source.write_bytes(b"data" * 1000)
    blobs.put(NAME, source)
    assert blobs.get(NAME, 0, 4000) == b"data" * 1000
    assert not source.exists()
    assert [info.name for info in blobs.list()] == [NAME]
