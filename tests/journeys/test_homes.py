"""The folder of a repository: shared, broken off, read-only, made anew; and the folders for files on their way."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lepton_ai
from lepton_ai import errors
from lepton_ai.history import home as homes
from lepton_ai.history import staging
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna")


def _save(repo: ModelRepository, content: bytes = b"weights") -> None:
    file = repo.path.parent / "model.bin"
    file.write_bytes(content)
    repo.save_files(file)


def _old(folder: Path) -> None:
    then = time.time() - 2 * staging.BRAND_NEW
    os.utime(folder, (then, then))


class TestSharing:
    @pytest.fixture
    def _group(self) -> Iterator[None]:
        before = os.umask(0o002)
        yield
        os.umask(before)

    @pytest.mark.usefixtures("_group")
    def test_a_group_may_write_when_the_umask_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o2775)
        with ModelRepository(tmp_path / "shared", encrypt=False) as repo:
            _save(repo)
            (repo.home.place / "index.db").unlink()
        with ModelRepository(tmp_path / "shared", encrypt=False) as repo:
            repo.checkout("v1", tmp_path / "out")
        for path in (repo.home.place, *repo.home.place.rglob("*")):
            if path.suffix != ".holder":
                assert path.stat().st_mode & 0o060 == 0o060, path
        assert repo.home.place.stat().st_mode & 0o2000

    def test_a_folder_that_may_not_be_looked_into_is_one_plain_error(self, tmp_path: Path) -> None:
        place = tmp_path / ("x" * 300)  # the file system refuses to look, as it does without permission
        with pytest.raises(errors.StorageFailed):
            homes.exists(place)
        with pytest.raises(errors.StorageFailed):
            ModelRepository(place)


class TestMaking:
    @pytest.mark.parametrize("struck", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
    def test_once_it_is_there_its_keys_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, struck: BaseException
    ) -> None:
        def strike(_: Path) -> None:
            raise struck

        with monkeypatch.context() as patch:
            patch.setattr(homes, "flush_folder", strike)
            with pytest.raises((errors.StorageFailed, KeyboardInterrupt)):
                ModelRepository(tmp_path / "repo")
        with ModelRepository(tmp_path / "repo", create=False) as repo:
            _save(repo)
            assert repo.version("v1").files[0].size == 7

    def test_before_that_nothing_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = tmp_path / "config" / "lepton-ai" / "keys"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(homes, "_first_branch", full)
        with pytest.raises(errors.NoSpace):
            ModelRepository(tmp_path / "repo")
        assert list(keys.iterdir()) == list((tmp_path / "repo").iterdir()) == []

    def test_of_two_at_once_neither_takes_the_other_ones_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another process makes the same repository with the same files, at any moment of ours."""
        key, recovery = tmp_path / "ci.key", tmp_path / "recovery"
        monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(key))
        real, begun = homes._first_branch, []

        def late(*arguments: object) -> None:
            if not begun:
                begun.append(True)
                ModelRepository(tmp_path / "repo", recovery_file=tmp_path / "other").close()
            real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(homes, "_first_branch", late)
        with ModelRepository(tmp_path / "repo", recovery_file=recovery) as repo:
            _save(repo)
        assert key.is_file()
        assert (tmp_path / "other").is_file()
        assert not recovery.exists()

    @pytest.mark.parametrize("address", ["https://host.invalid", "http://h/owner/x", "s3://bucket/x"])
    def test_an_address_makes_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for place in (address, Path(address)):
            with pytest.raises(errors.UsageError, match=r"names no repository|not encrypted|no address"):
                ModelRepository(place)
            with pytest.raises(errors.Unsupported, match=f"{address} is an address"):
                homes.exists(place)
        monkeypatch.setenv("LEPTON_AI_REPO", address)
        with pytest.raises(errors.UsageError, match=r"names no repository|not encrypted|no address"):
            lepton_ai.list_versions()
        assert list(tmp_path.iterdir()) == []
        with ModelRepository(tmp_path / address) as repo:  # whoever really means a folder of this name
            assert repo.list_versions() == []


class TestStaging:
    def test_another_process_sees_that_a_folder_is_in_use(self, repo: ModelRepository) -> None:
        """Also one that cannot see this one's number, as in a container."""
        kept = repo.home.staging()
        (kept / "file").touch()
        dead = repo.home.place / "tmp" / "staging-1-dead"
        fresh = repo.home.place / "tmp" / "staging-fresh"
        for folder in (dead, fresh):
            folder.mkdir()
        for folder in (kept, dead):
            _old(folder)
        code = "import pathlib, sys; from lepton_ai.history import staging; staging.sweep(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(kept.parent)], check=True)
        assert (kept / "file").exists()
        assert fresh.exists()
        assert not dead.exists()
        repo.close()
        staging.sweep(kept.parent)
        assert not kept.exists()

    def test_locks_do_not_pile_up(self, repo: ModelRepository) -> None:
        before = sum(1 for _ in Path("/dev/fd").iterdir())
        for _ in range(50):
            repo.home.staging().rmdir()
        assert sum(1 for _ in Path("/dev/fd").iterdir()) <= before + 2

    def test_on_a_read_only_medium_another_place_is_used(
        self, repo: ModelRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: Path) -> None:
            raise OSError(errno.EROFS, "read-only")

        monkeypatch.setattr(staging, "make_folder", refuse)
        folder = repo.home.staging()
        assert repo.path not in folder.parents
        folder.rmdir()


class TestReadOnly:
    def test_without_an_index_it_is_readable(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo)
        repo.close()
        (repo.home.place / "index.db").unlink()
        touch = Path.touch

        def refuse(path: Path, *arguments: int) -> None:
            if path.name == "index.db":
                raise OSError(errno.EROFS, "read-only")
            touch(path, *arguments)

        monkeypatch.setattr(Path, "touch", refuse)
        with ModelRepository(repo.path, create=False) as again:
            (place,) = again.checkout("v1", tmp_path / "out")
            assert place.read_bytes() == b"weights"
        assert not (repo.home.place / "index.db").exists()


class TestTheDefault:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "weights.bin").write_bytes(b"weights")

    def test_a_folder_made_anew_is_opened_anew(self, tmp_path: Path) -> None:
        lepton_ai.create_version("old", "weights.bin")
        shutil.rmtree(".lepton")
        with ModelRepository(tmp_path) as made:
            made.create_version("new", "weights.bin")
        assert [info.name for info in lepton_ai.list_versions()] == ["new"]
        lepton_ai.create_version("newer", "weights.bin")
        assert [info.name for info in lepton_ai.list_versions()] == ["new", "newer"]

    def test_a_closed_one_is_opened_again(self) -> None:
        lepton_ai.create_version("v1", "weights.bin")
        lepton_ai.default_repository().close()
        assert [info.name for info in lepton_ai.list_versions()] == ["v1"]
