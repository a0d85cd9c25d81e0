"""Backups of repositories that may only be read: without a lease, and whole all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history import backup as backups
from lepton_ai.history import copying
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna")


def _save(repo: ModelRepository, number: int) -> None:
    file = repo.path.parent / "model.bin"
    file.write_bytes(bytes([number]) * 3000)
    repo.save_files(file)


def _names(folder: Path) -> list[str]:
    with ModelRepository(folder, create=False) as opened:
        return [info.name for info in opened.list_versions()]


class TestFromWhereWeMayNotWrite:
    """Without a lease nobody waits for the backup; what is copied is whole all the same."""

    def test_it_is_copied_whole(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # pytest's own may be entered by nobody else
            Path(folder).chmod(0o777)
            source, target = Path(folder, "source"), Path(folder, "copy")
            with ModelRepository(source, encrypt=False, author="anna") as repo:
                _save(repo, 1)
                _save(repo, 2)
            shutil.copytree(source, Path(folder, "warm"))
            places = [source, *source.rglob("*")]
            for place in places:
                place.chmod(0o555 if place.is_dir() else 0o444)
            code = f"""
                from pathlib import Path
                from lepton_ai.repository import ModelRepository
                with ModelRepository({str(source)!r}, create=False) as repo:
                    print(repo.backup({str(target)!r}).versions)
                    print(repo.backup({str(target)!r}).packs)
            """
            seen = _as_nobody(code, Path(folder, "warm"))
            for place in places:
                place.chmod(0o755)
            assert seen == "2\n0\n"
            assert _names(target) == ["v1", "v2"]
            with ModelRepository(target) as copy:  # and whoever made it may write to it
                assert (target / ".lepton/history.db").stat().st_mode & 0o777 == 0o644
                _save(copy, 3)

    def test_it_begins_anew_when_packs_go(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in (1, 2, 3):
            _save(repo, number)
        self._without_lease(monkeypatch)
        real, once = copying.copy, []

        def copy(*arguments: object) -> int | None:
            if not once:
                once.append(1)
                repo.delete_version("v2")
                assert repo.gc(grace=0).packs
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(copying, "copy", copy)
        assert repo.backup(tmp_path / "copy").versions == 2
        assert _names(tmp_path / "copy") == ["v1", "v3"]

    def test_it_gives_up_and_keeps_the_older_backup(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _save(repo, 1)
        repo.backup(tmp_path / "copy")
        _save(repo, 2)
        self._without_lease(monkeypatch)
        monkeypatch.setattr(copying, "copy", lambda *_: None)
        with pytest.raises(errors.Busy, match="may not be written"):
            repo.backup(tmp_path / "copy")
        assert _names(tmp_path / "copy") == ["v1"]
        with ModelRepository(tmp_path / "copy") as copy:
            assert copy.verify().clean

    def _without_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backups, "_writable", lambda _: False)
        monkeypatch.setattr(backups, "Lease", None)


def _as_nobody(code: str, warm: Path) -> str:
    """What a program prints that runs as somebody who may not write everywhere.

    Root does a backup of ``warm`` first: nobody may perhaps not read modules that are imported later.
    """
    become = f"""
        import os, tempfile
        from lepton_ai.repository import ModelRepository
        with tempfile.TemporaryDirectory() as folder, ModelRepository({str(warm)!r}) as repo:
            repo.backup(folder)
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
    """
    program = textwrap.dedent(become) + textwrap.dedent(code)
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"HOME": "/"})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
