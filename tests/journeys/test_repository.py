"""The journey through the Python face: save, list, load, branch, update, roll back, delete, restore."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.drafts import Draft
from lepton_ai.repository import ModelRepository
from lepton_ai.types import Dataset


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


class TestWhatAVersionCarries:
    def test_everything_given_is_read_back(self, repo: ModelRepository, tmp_path: Path) -> None:
        version = repo.save_files(
            _model(tmp_path),
            metrics={"accuracy": np.float32(0.5), "loss": math.nan, "best": math.inf},
            params={
                "lr": 1e-3,
                "layers": (1, 2),
                "path": Path("x"),
                "nested": {"a": None},
                "np": np.int64(3),
            },
            history={"loss": [1.0, 0.5, math.nan]},
            dataset={
                "name": "digits",
                "source": "s3://x",
                "digest": "d",
                "rows": 5,
                "preprocessing": ["a", "b"],
                "k": 1,
            },
            message="first",
            author="berta",
        )
        again = repo.version(version.id)
        assert again.metrics["accuracy"] == 0.5
        assert math.isnan(again.metrics["loss"])
        assert again.metrics["best"] == math.inf
        assert again.params == {"lr": 1e-3, "layers": [1, 2], "path": "x", "nested": {"a": None}, "np": 3}
        assert again.history["loss"][:2] == [1.0, 0.5]
        assert math.isnan(again.history["loss"][2])
        assert again.dataset == Dataset("digits", "s3://x", "d", 5, ("a", "b"), {"k": 1})
        assert (again.message, again.author) == ("first", "berta")

    @pytest.mark.parametrize(
        ("carried", "word"),
        [
            ({"metrics": {"a": "high"}}, "metric 'a'"),
            ({"metrics": {"a": [1, 2]}}, "metric 'a'"),
            ({"params": {"f": print}}, "param 'f'"),
            ({"dataset": 3}, "dataset"),
            ({"dataset": {"rows": "many"}}, "dataset"),
            ({"colour": "red"}, "colour"),
            ({"params": {"n": 2**70}}, "param 'n'"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(
        self, repo: ModelRepository, tmp_path: Path, carried: dict[str, object], word: str
    ) -> None:
        with pytest.raises(errors.UsageError, match=word):
            repo.save_files(_model(tmp_path), **carried)  # type: ignore[arg-type]
        assert repo.list_versions() == []

    def test_git_and_environment_are_recorded(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        work = tmp_path / "work"
        work.mkdir()
        monkeypatch.chdir(work)
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
        (work / "train.py").write_text("print(1)\n")
        subprocess.run(["git", "init", "-q", "-b", "trunk"], check=True)
        subprocess.run(["git", "remote", "add", "origin", "https://me:secret@example.org/x.git"], check=True)
        assert repo.save_files(_model(tmp_path)).code is None
        subprocess.run(["git", "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "one"], check=True)
        clean = repo.save_files(_model(tmp_path, 1))
        assert clean.code is not None
        assert (clean.code.dirty, clean.code.branch, clean.patch) == (False, "trunk", b"")
        assert clean.code.remote == "https://example.org/x.git"
        (work / "train.py").write_text("print(2)\n")
        dirty = repo.save_files(_model(tmp_path, 2))
        assert dirty.code is not None
        assert dirty.code.dirty
        assert b"+print(2)" in dirty.patch
        assert dirty.environment is not None
        assert dirty.environment.python.startswith("CPython 3.")
        assert dirty.packages["numpy"] == np.__version__


class TestFiles:
    def test_a_folder_comes_back_as_it_was(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _model(model / "weights")
        (model / "config.json").write_text("{}")
        (model / "empty.txt").touch()
        (model / "run.sh").write_text("#!/bin/sh\n")
        (model / "run.sh").chmod(0o755)
        (model / "latest").symlink_to("weights/model.safetensors")
        (model / "skip.log").write_text("x")
        (model / "keep.log").write_text("x")
        (model / "junk").mkdir()
        (model / "junk" / "a").write_text("x")
        (model / ".leptonignore").write_text("# logs\n*.log\n!keep.log\njunk/\n")
        version = repo.save_files(model)
        out = tmp_path / "out"
        version.checkout(out)
        found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        assert found == {
            *("weights/model.safetensors", "config.json", "empty.txt"),
            *("run.sh", "latest", "keep.log"),
        }
        assert os.access(out / "run.sh", os.X_OK)
        assert not os.access(out / "config.json", os.X_OK)
        assert (out / "latest").readlink() == Path("weights/model.safetensors")
        assert (out / "latest").read_bytes() == (model / "weights" / "model.safetensors").read_bytes()
        np.testing.assert_array_equal(version.tensor("b"), np.arange(5))
        assert [t.file for t in version.tensors()] == ["weights/model.safetensors"] * 2

    def test_a_link_that_leads_outside_is_refused(self, repo: ModelRepository, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        model = tmp_path / "model"
        _model(model)
        (model / "link").symlink_to("../secret")
        with pytest.raises(errors.UsageError, match="outside"):
            repo.save_files(model)

    def test_missing_and_empty_paths(self, repo: ModelRepository, tmp_path: Path) -> None:
        with pytest.raises(errors.NotFound, match="no file"):
            repo.save_files(tmp_path / "nothing")
        (tmp_path / "void").mkdir()
        with pytest.raises(errors.UsageError, match="no files"):
            repo.save_files(tmp_path / "void")

    def test_a_pipe_is_refused(self, repo: ModelRepository, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(errors.UsageError, match="neither"):
            repo.save_files(tmp_path / "pipe")

    def test_what_is_not_understood_is_kept_and_said(self, repo: ModelRepository, tmp_path: Path) -> None:
        file = _model(tmp_path)
        file.write_bytes(file.read_bytes()[:-7])
        version = repo.save_files(file)
        assert "opaque" in version.notes[0]
        assert version.tensors() == []
        (path,) = version.checkout(tmp_path / "out")
        assert path.read_bytes() == file.read_bytes()

    def test_a_tensor_reads_only_its_blocks(self, repo: ModelRepository, tmp_path: Path) -> None:
        version = repo.save_files(_model(tmp_path))
        with pytest.raises(errors.NotFound, match="no tensor"):
            version.tensor("x")
        assert version.tensor("w").shape == (40, 50)
        assert {(t.name, t.dtype, t.shape) for t in version.tensors()} == {
            ("w", "float32", (40, 50)),
            ("b", "int64", (5,)),
        }

    def test_a_name_in_two_files_is_ambiguous(self, repo: ModelRepository, tmp_path: Path) -> None:
        _model(tmp_path / "m", 1, "a.safetensors")
        _model(tmp_path / "m", 2, "b.safetensors")
        version = repo.save_files(tmp_path / "m")
        with pytest.raises(errors.Ambiguous, match="several files"):
            version.tensor("b")
        assert version.tensor("b.safetensors:b")[0] == 2


class TestCheckout:
    def test_it_never_overwrites_what_is_not_kept(self, repo: ModelRepository, tmp_path: Path) -> None:
        version = repo.save_files(_model(tmp_path))
        out = tmp_path / "out"
        out.mkdir()
        (out / "model.safetensors").write_text("mine")
        with pytest.raises(errors.WouldOverwrite):
            version.checkout(out)
        assert (out / "model.safetensors").read_text() == "mine"
        version.checkout(out, force=True)
        (copy,) = out.glob("*.kept-*")
        assert copy.read_text() == "mine"

    def test_it_replaces_what_is_kept(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path, 1))
        second = _model(tmp_path, 2)
        repo.save_files(second)
        out = tmp_path / "out"
        repo.checkout("v1", out)
        repo.checkout("v2", out)
        repo.checkout("v2", out)
        assert (out / "model.safetensors").read_bytes() == second.read_bytes()
        assert [path.name for path in out.iterdir()] == ["model.safetensors"]

    def test_a_link_on_the_way_out_is_refused(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _model(model / "sub")
        version = repo.save_files(model)
        out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
        out.mkdir()
        elsewhere.mkdir()
        (out / "sub").symlink_to(elsewhere)
        with pytest.raises(errors.LeptonError, match="out of"):
            version.checkout(out)
        assert list(elsewhere.iterdir()) == []


class TestDrafts:
    def test_the_next_save_fills_and_closes_it(self, repo: ModelRepository, tmp_path: Path) -> None:
        branch = repo.branch()
        draft = branch.create_version("2026-11-20")
        with pytest.raises(errors.UsageError, match="open"):
            branch.create_version()
        draft.add(_model(tmp_path), metrics={"a": 1})
        assert draft.name == "2026-11-20"
        assert draft.metrics == {"a": 1.0}
        with pytest.raises(errors.UsageError, match="closed"):
            draft.add(_model(tmp_path))

    def test_with_takes_several_files(self, repo: ModelRepository, tmp_path: Path) -> None:
        with repo.branch().create_version("v3") as draft:
            draft.add(_model(tmp_path, 1, "a.safetensors"))
            draft.add(_model(tmp_path, 2, "b.safetensors"))
            draft.set(message="both")
        assert [file.path for file in draft.files] == ["a.safetensors", "b.safetensors"]
        assert repo.version("v3").message == "both"

    def test_an_exception_discards_it(self, repo: ModelRepository, tmp_path: Path) -> None:
        branch = repo.branch()

        def work() -> None:
            with branch.create_version("v1") as draft:
                draft.add(_model(tmp_path))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            work()
        assert repo.list_versions() == []
        assert branch.draft is None

    def test_without_a_save_it_has_its_parents_content(self, repo: ModelRepository, tmp_path: Path) -> None:
        first = repo.save_files(_model(tmp_path), params={"a": 1})
        with repo.branch().create_version() as draft:
            pass
        assert draft.name == "v2"
        assert draft.files == first.files
        assert draft.params == {"a": 1}

    def test_without_a_save_and_a_parent_there_is_nothing(self, repo: ModelRepository) -> None:
        branch = repo.branch()
        with pytest.raises(errors.UsageError, match="empty"):
            branch.create_version().close()
        assert branch.draft is None

    def test_a_draft_that_lost_a_race_says_so(self, repo: ModelRepository, tmp_path: Path) -> None:
        draft = repo.branch().create_version()
        repo.save_files(_model(tmp_path, 1))
        with pytest.raises(errors.LostRace):
            draft.add(_model(tmp_path, 2))
        assert [info.name for info in repo.list_versions()] == ["v1"]

    def test_an_explicit_parent_that_lost_a_race_says_so(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path, 1))
        repo.save_files(_model(tmp_path, 2), parent="v1")
        with pytest.raises(errors.LostRace):
            repo.save_files(_model(tmp_path, 3), parent="v1")

    def test_the_name_of_an_existing_version_opens_a_revision(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        repo.save_files(_model(tmp_path, 1))
        second = _model(tmp_path, 2)
        version = repo.create_version("v1", second, message="better")
        assert version.revision == 2
        assert repo.version("v1").tensor("b")[0] == 2
        assert repo.version("v1~1").tensor("b")[0] == 1
        assert len(repo.list_versions()) == 1

    def test_bad_names_are_refused_when_it_is_opened(self, repo: ModelRepository) -> None:
        branch = repo.branch()
        with pytest.raises(errors.InvalidName):
            branch.create_version("deadbeef")
        assert branch.draft is None
        assert isinstance(branch.create_version("ok"), Draft)


class TestUpdates:
    def test_metrics_alone(self, repo: ModelRepository, tmp_path: Path) -> None:
        version = repo.save_files(_model(tmp_path), metrics={"a": 1}, params={"p": 1}, message="m")
        updated = version.update(metrics={"a": 2})
        assert (updated.name, updated.revision, updated.metrics) == ("v1", 2, {"a": 2.0})
        assert (updated.params, updated.message, updated.files) == ({"p": 1}, "m", version.files)
        assert [v.metrics["a"] for v in updated.revisions()] == [1.0, 2.0]
        (info,) = repo.list_versions()
        assert info.created_at < info.updated_at
        assert info.created_at == version.created_at

    def test_a_deleted_one_cannot_be_updated(self, repo: ModelRepository, tmp_path: Path) -> None:
        version = repo.save_files(_model(tmp_path))
        repo.delete_version(version)
        with pytest.raises(errors.NotFound, match="deleted"):
            version.update(metrics={"a": 2})


class TestRollback:
    def test_it_carries_what_the_older_one_carries(self, repo: ModelRepository, tmp_path: Path) -> None:
        first = repo.save_files(_model(tmp_path, 1), params={"p": 1}, dataset="d1")
        repo.save_files(_model(tmp_path, 2), params={"p": 2}, dataset="d2")
        back = repo.branch().rollback_to_version("v1")
        assert back.name == "v3"
        assert back.files == first.files
        assert back.content_id == first.content_id
        assert (back.params, back.dataset) == ({"p": 1}, Dataset(name="d1"))
        assert back.code == first.code
        assert back.operation.kind == "rollback"
        assert back.operation.source == first.id
        assert back.tensor("b")[0] == 1


class TestBundles:
    def test_a_version_travels_in_one_file(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _model(model)
        (model / "link").symlink_to("model.safetensors")
        version = repo.save_files(
            model,
            metrics={"a": 1},
            history={"loss": [1, 2]},
            message="hello",
            params={"x": [1]},
            author="berta",
        )
        bundle = repo.export_version("v1", tmp_path / "v1.lepton")
        other = ModelRepository(tmp_path / "other", author="otto")
        taken = other.import_version(bundle)
        assert (taken.name, taken.author, taken.message) == ("v1", "berta", "hello")
        assert taken.content_id == version.content_id
        assert taken.history == version.history
        assert taken.operation.source == version.id
        assert taken.packages == version.packages
        assert other.verify().clean
        with pytest.raises(errors.WouldOverwrite):
            repo.export_version("v1", bundle)

    def test_a_damaged_bundle_is_refused(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_model(tmp_path))
        bundle = repo.export_version("v1", tmp_path / "v1.lepton")
        data = bytearray(bundle.read_bytes())
        for place in range(100, len(data), len(data) // 40):
            broken = bytearray(data)
            broken[place] ^= 4
            bundle.write_bytes(broken)
            try:
                repo.import_version(bundle)
            except errors.LeptonError:
                assert len(repo.list_versions()) == 1
            else:  # a byte that carries nothing: the times and flags of the zip
                assert repo.version("v2").content_id == repo.version("v1").content_id
                repo.delete_version("v2")
                return
        bundle.write_bytes(b"nothing")
        with pytest.raises(errors.UsageError, match="no exported version"):
            repo.import_version(bundle)


class TestBackups:
    def test_there_and_back(self, repo: ModelRepository, tmp_path: Path) -> None:
        first = _model(tmp_path, 1)
        repo.save_files(first)
        repo.tag("gold", "v1")
        done = repo.backup(tmp_path / "backup")
        assert (done.versions, done.packs) == (1, 2)
        repo.save_files(_model(tmp_path, 2))
        again = repo.backup(tmp_path / "backup")
        assert (again.versions, again.packs) == (2, 2)
        from lepton_ai.history.restoring import restore

        restore(tmp_path / "backup", tmp_path / "restored")
        with ModelRepository(tmp_path / "restored", create=False) as restored:
            assert [info.name for info in restored.list_versions()] == ["v1", "v2"]
            assert restored.version("gold").tensor("b")[0] == 1
            assert restored.verify().clean

    def test_into_a_foreign_folder_it_is_refused(self, repo: ModelRepository, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        with pytest.raises(errors.AlreadyExists):
            repo.backup(tmp_path / "full")
        ModelRepository(tmp_path / "other").close()
        with pytest.raises(errors.AlreadyExists, match="another repository"):
            repo.backup(tmp_path / "other")
