"""Opening a repository: with keys and without, after damage, and where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.history import writing
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "a" / "b" / "repo", author="anna")


def _model(folder: Path, seed: int = 0, name: str = "model.safetensors") -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True, parents=True)
    tensors = {
        "w": rng.normal(size=(40, 50)).astype(np.float32),
        "b": np.arange(seed, seed + 5, dtype=np.int64),
    }
    save_file(tensors, folder / name)
    return folder / name


class TestDamage:
    def test_it_is_named_and_the_rest_stays_readable(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path, 1))
        first = {*(repo.home.place / "packs").rglob("*.pack")}
        repo.save_files(_model(tmp_path, 2, "other.safetensors"))
        second = {*(repo.home.place / "packs").rglob("*.pack")} - first
        pack = max(second, key=lambda pack: pack.stat().st_size)
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o644)
        pack.write_bytes(data)
        verdict = repo.verify()
        assert not verdict.clean
        damage = next(d for d in verdict.damages if pack.stem in d.where)
        assert {touch[0] for touch in damage.touches} == {"main@v2"}
        assert repo.version("v1").tensor("w").shape == (40, 50)
        with pytest.raises(errors.Damaged):
            repo.checkout("v2", tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    def test_a_lost_pack_is_named(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path, 1))
        next((repo.home.place / "packs").rglob("*.pack")).unlink()
        verdict = repo.verify(fast=True)
        assert not verdict.clean

    def test_a_lost_index_is_made_again(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path, 1))
        repo.close()
        (repo.home.place / "index.db").unlink()
        with ModelRepository(repo.path, create=False) as again:
            assert again.version("v1").tensor("b")[0] == 1
            assert again.verify().clean


class TestOpening:
    def test_without_create_nothing_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(errors.NotFound, match="no repository"):
            ModelRepository(tmp_path / "x", create=False)
        assert not (tmp_path / "x").exists()

    def test_a_file_is_no_place(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(errors.UsageError, match="file"):
            ModelRepository(tmp_path / "x")

    def test_a_later_format_is_left_alone(self, repo: ModelRepository) -> None:
        config = repo.home.place / "config.json"
        config.write_text(config.read_text().replace('"format": 1', '"format": 2'))
        with pytest.raises(errors.TooNew):
            ModelRepository(repo.path)

    def test_without_the_key_metadata_is_readable_and_bytes_are_not(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repo.save_files(_model(tmp_path), metrics={"a": 1})
        assert repo.recovery_file is not None
        recovery = tmp_path / "recovery"
        recovery.write_bytes(repo.recovery_file.read_bytes())
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
        other = ModelRepository(repo.path, create=False)
        assert other.list_versions()[0].metrics == {"a": 1.0}
        with pytest.raises(errors.KeyMissing):
            other.version("v1").tensor("b")
        monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(recovery))
        third = ModelRepository(repo.path, create=False)
        assert third.version("v1").tensor("b")[0] == 0

    def test_nothing_readable_is_in_the_packs(self, repo: ModelRepository, tmp_path: Path) -> None:
        file = tmp_path / "secret.txt"
        file.write_text("the quick brown fox " * 1000)
        repo.save_files(file)
        for pack in (repo.home.place / "packs").rglob("*.pack"):
            assert b"quick" not in pack.read_bytes()

    def test_without_encryption(self, tmp_path: Path) -> None:
        repo = ModelRepository(tmp_path / "r", encrypt=False)
        assert repo.recovery_file is None
        repo.save_files(_model(tmp_path))
        assert repo.version("v1").tensor("b")[0] == 0
        assert repo.verify().clean

    def test_one_key_file_for_several_repositories(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = tmp_path / "ci.key"
        monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(key))
        for name in ("one", "two"):
            with ModelRepository(tmp_path / name) as repo:
                repo.save_files(_model(tmp_path))
        for name in ("one", "two"):
            with ModelRepository(tmp_path / name, create=False) as repo:
                assert repo.version("v1").tensor("b")[0] == 0
        key.write_text("nothing")
        with pytest.raises(errors.KeyMissing, match="neither"):
            ModelRepository(tmp_path / "three")
        assert key.read_text() == "nothing"
        assert not (tmp_path / "three" / ".lepton").exists()

    def test_a_relative_path_stays_what_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        repo = ModelRepository("m")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        repo.save_files(_model(tmp_path))
        assert repo.version("v1").tensor("b")[0] == 0

    def test_a_file_that_goes_while_it_is_saved_is_told_plainly(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = _model(tmp_path)
        real = writing.plan_of

        def gone(*arguments: Any) -> Any:
            file.unlink(missing_ok=True)
            return real(*arguments)

        monkeypatch.setattr(writing, "plan_of", gone)
        with pytest.raises(errors.StorageFailed):
            repo.save_files(file)
        assert repo.list_versions() == []
