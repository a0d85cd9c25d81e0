"""Backups: never over something newer, whole while others write and collect, and no larger than they need to be."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history import backup as backups
from lepton_ai.history import copying
from lepton_ai.history.restoring import restore
from lepton_ai.progress import Progress
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna")


def _save(repo: ModelRepository, number: int, **carried: str) -> str:
    file = repo.path.parent / "model.bin"
    file.write_bytes(bytes([number]) * 3000)
    return repo.save_files(file, **carried).name


def _names(folder: Path) -> list[str]:
    with ModelRepository(folder, create=False) as opened:
        return [info.name for info in opened.list_versions()]


def _packs(folder: Path) -> set[str]:
    return {pack.name for pack in (folder / ".lepton" / "packs").rglob("*.pack")}


class TestNothingNewerIsLost:
    @pytest.mark.parametrize("where", [".", ".lepton", ".lepton/deep/below", "../link", "../link/.lepton/x"])
    def test_the_repository_itself_is_no_target(self, repo: ModelRepository, where: str) -> None:
        _save(repo, 1)
        (repo.path.parent / "link").symlink_to(repo.path)
        before = (repo.home.place / "history.db").stat().st_ino
        with pytest.raises(errors.UsageError, match="the repository itself"):
            repo.backup(repo.path / where)
        assert (repo.home.place / "history.db").stat().st_ino == before
        assert not (repo.home.place / "deep").exists()

    def test_nor_is_a_backup_one_of_its_own_restore(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.backup(tmp_path / "copy")
        with pytest.raises(errors.UsageError, match="the repository itself"):
            restore(tmp_path / "copy", tmp_path / "copy" / ".lepton" / "x")

    def test_a_copy_with_versions_of_its_own_is_left_alone(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        _save(repo, 1)
        shutil.copytree(repo.path, tmp_path / "copy")
        with ModelRepository(tmp_path / "copy") as copy:
            _save(copy, 2)
        _save(repo, 3)
        _save(repo, 4)
        with pytest.raises(errors.AlreadyExists, match="lacks"):
            repo.backup(tmp_path / "copy")
        with ModelRepository(tmp_path / "copy") as copy:
            (place,) = copy.checkout("v2", tmp_path / "out")
            assert place.read_bytes() == bytes([2]) * 3000

    def test_a_backup_newer_than_the_repository_is_left_alone(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "old")
        _save(repo, 2)
        repo.backup(tmp_path / "new")
        restore(tmp_path / "old", tmp_path / "restored")
        with ModelRepository(tmp_path / "restored") as restored:
            with pytest.raises(errors.AlreadyExists, match="lacks"):
                restored.backup(tmp_path / "new")
            assert _names(tmp_path / "new") == ["v1", "v2"]
            _save(restored, 3)
            restored.backup(tmp_path / "old")
        assert _names(tmp_path / "old") == ["v1", "v2"]

    def test_a_log_of_many_pages_is_compared(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backups, "PAGE", 2)
        for number in range(4):
            _save(repo, number)
        repo.backup(tmp_path / "copy")
        _save(repo, 5)
        repo.backup(tmp_path / "copy")
        assert len(_names(tmp_path / "copy")) == 5

    def test_what_is_written_to_the_copy_meanwhile_is_kept(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        real = copying.copy_small

        def slow(*arguments: object) -> None:
            with ModelRepository(tmp_path / "copy") as copy:
                _save(copy, 2, message="precious")
            real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(copying, "copy_small", slow)
        with pytest.raises(errors.AlreadyExists, match="lacks"):
            repo.backup(tmp_path / "copy")
        assert _names(tmp_path / "copy") == ["v1", "v2"]
        assert not list((tmp_path / "copy" / ".lepton").glob("*.part*"))

    def test_one_backup_at_a_time(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.backup(tmp_path / "copy")
        with (tmp_path / "copy" / ".lepton" / "tmp" / "backup.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(errors.Busy, match="another backup"):
                repo.backup(tmp_path / "copy")
        repo.backup(tmp_path / "copy")


class TestBesideOthers:
    def test_a_pack_that_gc_deletes_meanwhile_is_passed_over(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2):
            _save(repo, number)
        real, gone = copying.size, []

        def size(path: Path) -> int | None:
            if not gone:  # the collection strikes between the listing and the copy
                gone.append(next((repo.home.place / "packs").rglob("*.pack")))
                gone[0].unlink()
            return real(path)

        monkeypatch.setattr(copying, "size", size)
        monkeypatch.setattr(
            backups, "_verified", lambda *_: 0
        )  # this pack was needed; one that gc takes is not
        assert repo.backup(tmp_path / "copy").packs == 1
        assert _packs(tmp_path / "copy") == _packs(repo.path)

    def test_a_cut_pack_in_the_copy_is_mended(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        (pack,) = (tmp_path / "copy" / ".lepton" / "packs").rglob("*.pack")
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:100])
        assert repo.backup(tmp_path / "copy").packs == 1


def _pack(folder: Path) -> Path:
    """The oldest pack, ready to be broken."""
    pack = min((folder / ".lepton" / "packs").rglob("*.pack"), key=lambda pack: pack.stat().st_mtime_ns)
    pack.chmod(0o644)
    return pack


def _flip(pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)


class TestDamage:
    """The backup may be the only good copy."""

    @pytest.mark.parametrize("lease", [True, False])
    def test_a_cut_pack_of_the_source_replaces_nothing(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lease: bool
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        if not lease:
            monkeypatch.setattr(backups, "_writable", lambda _: False)
        pack = _pack(repo.path)
        good = pack.read_bytes()
        pack.write_bytes(good[:1000])
        _save(repo, 2)
        for _ in range(2):
            with pytest.raises(errors.Damaged, match=r"repo is damaged: packs/.* is complete"):
                repo.backup(tmp_path / "copy")
            assert _pack(tmp_path / "copy").read_bytes() == good
        with ModelRepository(tmp_path / "copy") as copy:
            assert copy.verify().clean
            (place,) = copy.checkout("v2", tmp_path / "out")
            assert place.read_bytes() == bytes([2]) * 3000

    def test_of_two_damaged_ones_the_longer_stays(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        ours, theirs = _pack(repo.path), _pack(tmp_path / "copy")
        good = ours.read_bytes()
        for mine, other, left in ((900, 1000, 1000), (1100, 1000, 1100)):
            ours.write_bytes(good[:mine])
            theirs.write_bytes(good[:other])
            with pytest.raises(errors.Damaged):
                repo.backup(tmp_path / "copy")
            assert theirs.read_bytes() == good[:left]

    @pytest.mark.parametrize("gone", [False, True])
    def test_it_is_said_that_the_source_is_at_fault(
        self, repo: ModelRepository, tmp_path: Path, gone: bool
    ) -> None:
        _save(repo, 1)
        _save(repo, 2)
        if gone:
            _pack(repo.path).unlink()
        else:
            _flip(_pack(repo.path))
        with pytest.raises(errors.Damaged, match=r"repo is damaged itself, and so is its backup in .*copy"):
            repo.backup(tmp_path / "copy")
        with ModelRepository(tmp_path / "copy") as copy:  # what can be read is there
            copy.checkout("v2", tmp_path / "out")

    def test_a_flipped_pack_in_the_copy_is_mended(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        _flip(_pack(tmp_path / "copy"))
        repo.backup(tmp_path / "copy")
        assert _pack(tmp_path / "copy").read_bytes() == _pack(repo.path).read_bytes()

    def test_a_disk_that_does_not_keep_what_is_written(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo, 1)
        real = copying.copy

        def broken(source: Path, target: Path, progress: Progress) -> int | None:
            size = real(source, target, progress)
            if target.suffix == ".pack":
                target.chmod(0o644)
                _flip(target)
            return size

        monkeypatch.setattr(copying, "copy", broken)
        with pytest.raises(errors.Damaged, match=r"the copy in .*copy does not verify") as caught:
            repo.backup(tmp_path / "copy")
        assert caught.value.hint == "check the disk, then repeat"

    def test_a_damaged_backup_is_not_restored(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        repo.close()
        good = _pack(tmp_path / "copy").read_bytes()
        _flip(_pack(tmp_path / "copy"))
        for _ in range(2):
            with pytest.raises(errors.Damaged, match=r"the backup in .*copy does not verify.*nothing was"):
                restore(tmp_path / "copy", tmp_path / "back")
            assert list((tmp_path / "back").iterdir()) == []
        _pack(tmp_path / "copy").write_bytes(good)
        assert restore(tmp_path / "copy", tmp_path / "back").versions == 1

    def test_without_its_key_nothing_is_restored(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        with monkeypatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another user"))
            with pytest.raises(errors.KeyMissing, match="cannot be opened") as caught:
                restore(tmp_path / "copy", tmp_path / "back")
        assert "keys recover" in str(caught.value.hint)
        assert not (tmp_path / "back").exists()


class TestWhileABackupIsRestored:
    def test_a_backup_waits(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        _save(repo, 2)
        seen = []

        class Writer:
            def start(self, task: str, total: int) -> None:
                if task == "restoring":
                    with pytest.raises(errors.Busy, match="being restored"):
                        repo.backup(tmp_path / "copy")
                    seen.append(task)

            def advance(self, amount: int) -> None:
                pass

        restore(tmp_path / "copy", tmp_path / "back", progress=Writer())
        assert seen
        assert _names(tmp_path / "back") == ["v1"]
        repo.backup(tmp_path / "copy")

    def test_it_waits_for_a_backup(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.backup(tmp_path / "copy")
        with (tmp_path / "copy" / ".lepton" / "tmp" / "backup.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(errors.Busy, match="a backup writes"):
                restore(tmp_path / "copy", tmp_path / "back")
        restore(tmp_path / "copy", tmp_path / "back")

    def test_what_is_saved_into_it_is_there_or_not(self, repo: ModelRepository, tmp_path: Path) -> None:
        """The copy may be a repository that is used: the history never is newer than the packs."""
        _save(repo, 1)

        class Saver:
            def start(self, task: str, total: int) -> None:
                if task == "restoring":
                    _save(repo, 2)

            def advance(self, amount: int) -> None:
                pass

        restore(repo.path, tmp_path / "back", progress=Saver())
        assert _names(tmp_path / "back") == ["v1"]


class TestSignsOfLife:
    def test_they_are_given_within_one_pack(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "model.bin").write_bytes(os.urandom(100_000))
        repo.save_files(tmp_path / "model.bin")
        monkeypatch.setattr(copying, "STEP", 1000)
        beats = []
        monkeypatch.setattr(backups.Lease, "beat", lambda _: beats.append(1))
        assert repo.backup(tmp_path / "copy").packs == 1
        assert len(beats) >= 100


class TestNoLargerThanNeeded:
    def test_packs_that_are_not_needed_any_more_go(self, repo: ModelRepository, tmp_path: Path) -> None:
        for number in range(5):
            _save(repo, number)
        repo.backup(tmp_path / "copy")
        for number in range(1, 4):
            repo.delete_version(f"v{number}")
        repo.gc(grace=0)
        assert repo.backup(tmp_path / "copy").versions
        assert _packs(tmp_path / "copy") == _packs(repo.path)
        with ModelRepository(tmp_path / "copy") as copy:
            assert copy.verify().clean
            (place,) = copy.checkout("v5", tmp_path / "out")
            assert place.read_bytes() == bytes([4]) * 3000

    def test_the_last_copy_of_a_pack_that_was_lost_stays(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        (lost,) = (repo.home.place / "packs").rglob("*.pack")
        lost.unlink()
        _save(repo, 2)
        repo.backup(tmp_path / "copy")
        with ModelRepository(tmp_path / "copy") as copy:
            assert copy.verify().clean
            copy.checkout("v1", tmp_path / "out")

    def test_what_killed_backups_left_goes_and_is_not_restored(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        inside = tmp_path / "copy" / ".lepton"
        (pack,) = (inside / "packs").rglob("*.pack")
        left = [
            pack.with_name(f".{pack.name}.12-ab.part"),
            inside / "history.db.0a.part",
            inside / "history.db.0a.part.0b.partial",
            inside / "keys" / ".id.json.12-ab.part",
        ]
        for path in left:
            path.write_bytes(b"x")
        restore(tmp_path / "copy", tmp_path / "restored")
        there = {path.name for path in (tmp_path / "restored" / ".lepton").rglob("*")}
        assert not there & {path.name for path in left}
        assert _names(tmp_path / "restored") == ["v1"]
        repo.backup(tmp_path / "copy")
        assert not any(path.exists() for path in left)

    def test_the_current_branch_comes_back(self, repo: ModelRepository, tmp_path: Path) -> None:
        _save(repo, 1)
        repo.create_branch("other")
        shutil.copytree(repo.path, tmp_path / "copy")
        with ModelRepository(tmp_path / "copy") as copy:
            copy.switch("other")
        restore(tmp_path / "copy", tmp_path / "restored")
        with ModelRepository(tmp_path / "restored") as restored:
            assert restored.current_branch == "other"


class TestFullAndForbidden:
    def test_a_disk_that_fills_up_is_told_as_such(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "good")

        def full(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        with monkeypatch.context() as patch:
            patch.setattr("lepton_ai.store.durable.flush", full)
            with pytest.raises(errors.NoSpace):
                restore(tmp_path / "good", tmp_path / "restored")
            assert not list((tmp_path / "restored").iterdir())
        with monkeypatch.context() as patch:
            patch.setattr(os, "fchmod", full)
            with pytest.raises(errors.NoSpace):
                repo.backup(tmp_path / "new")
        assert repo.backup(tmp_path / "new").versions == 1

    def test_a_file_in_the_way(self, repo: ModelRepository, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(errors.AlreadyExists, match="is a file"):
            repo.backup(tmp_path / "file")
        repo.backup(tmp_path / "copy")
        with pytest.raises(errors.StorageFailed):
            restore(tmp_path / "copy", tmp_path / "file")

    def test_modes_are_those_of_the_repository(self, repo: ModelRepository, tmp_path: Path) -> None:
        (repo.home.place / "history.db").chmod(0o664)
        repo.backup(tmp_path / "copy")
        restore(tmp_path / "copy", tmp_path / "restored")
        for folder in ("copy", "restored"):
            mode = (tmp_path / folder / ".lepton" / "history.db").stat().st_mode
            assert mode & 0o777 == 0o664
