"""Damage that a save of the same files repairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.repository import ModelRepository
from lepton_ai.store.index import Index, Place


@pytest.fixture(params=["sealed", "plain"])
def repo(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=request.param == "sealed")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    tensors = {name: rng.normal(size=3000).astype(np.float32) for name in "ab"}
    save_file(tensors, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def _places(repo: ModelRepository, ids: list[bytes]) -> list[Place]:
    found = repo.home.store._index.find(ids)
    return [found[id_][0] for id_ in ids]


def _manifest(repo: ModelRepository) -> Place:
    (entry,) = repo.version("v1").files
    return _places(repo, [repo.reader.rows([entry.sha256])[entry.sha256].manifest])[0]


def _block(repo: ModelRepository, version: str = "v1") -> Place:
    (manifest,) = repo.reader.manifests(repo.version(version).files).values()
    stream = next(stream for stream in manifest.content.streams if stream.key == "b")
    return _places(repo, [stream.blocks[:32]])[0]


def _pack(repo: ModelRepository, name: str) -> Path:
    (pack,) = (repo.home.place / "packs").rglob(f"{name}.pack")
    pack.chmod(0o644)
    return pack


def _flip(repo: ModelRepository, place: Place) -> None:
    pack = _pack(repo, place.pack)
    data = bytearray(pack.read_bytes())
    data[place.offset + place.length - 20] ^= 1
    pack.write_bytes(data)


def _repaired(repo: ModelRepository, file: Path, version: str = "v1") -> None:
    """Save the file again; then every version is what it was, and a collection leaves nothing damaged."""
    wanted = file.read_bytes()
    again = repo.save_files(file)
    with ModelRepository(repo.path) as other:
        for name in (version, again.name):
            (place,) = other.checkout(name, file.parent / f"out-{name}")
            assert place.read_bytes() == wanted
        other.gc(grace=0)
        assert other.verify().damages == ()
        (place,) = other.checkout(version, file.parent / "after gc")
        assert place.read_bytes() == wanted


class TestWithoutAVerification:
    def test_a_manifest_that_cannot_be_read_is_written_anew(self, repo: ModelRepository, file: Path) -> None:
        repo.save_files(file)
        _flip(repo, _manifest(repo))
        with pytest.raises(errors.Damaged):
            repo.checkout("v1", file.parent / "lost")
        assert (repo.save_files(file).new_bytes or 0) < file.stat().st_size / 4  # the blocks are there
        repo.verify()  # from here on it is known which copy is the damaged one
        _repaired(repo, file)

    def test_a_pack_that_is_gone_is_noticed_by_the_save_that_needs_it(
        self, repo: ModelRepository, file: Path
    ) -> None:
        repo.save_files(file)
        _pack(repo, _block(repo).pack).unlink()
        _repaired(repo, file)

    def test_of_two_packs_one_is_gone(self, repo: ModelRepository, file: Path) -> None:
        repo.save_files(file)
        tuned = {"a": np.ones(3000, np.float32), "b": np.arange(3000, dtype=np.float32)}
        before = file.read_bytes()
        save_file(tuned, file)
        repo.save_files(file)
        file.write_bytes(before)
        _pack(repo, _block(repo).pack).unlink()
        _repaired(repo, file)


class TestAfterAVerification:
    @pytest.mark.parametrize("looked", [True, False])
    def test_a_damaged_block_is_stored_anew(self, repo: ModelRepository, file: Path, looked: bool) -> None:
        repo.save_files(file)
        _flip(repo, _block(repo))
        assert {touch for damage in repo.verify().damages for touch in damage.touches} == {
            ("main@v1", "m.safetensors", "b")
        }
        if looked:  # which has the index read its pack again
            with pytest.raises(errors.Damaged):
                repo.version("v1").tensor("b")
        _repaired(repo, file)

    def test_it_is_said_that_nothing_is_lost(self, repo: ModelRepository, file: Path) -> None:
        repo.save_files(file)
        _flip(repo, _block(repo))
        repo.verify()
        repo.save_files(file)
        (damage,) = repo.verify().damages
        assert damage.touches == ()
        assert damage.problem.endswith("(nothing is lost: other packs have it too)")
        assert repo.gc(grace=0, dry_run=True).rewritten == (damage.where.removeprefix("pack "),)

    @pytest.mark.parametrize("cut", [1, 15_000])
    def test_a_cut_pack(self, repo: ModelRepository, file: Path, cut: int) -> None:
        repo.save_files(file)
        pack = _pack(repo, _block(repo).pack)
        pack.write_bytes(pack.read_bytes()[:-cut])
        assert not repo.verify().clean
        _repaired(repo, file)

    @pytest.mark.parametrize("place", [5, -20])
    def test_a_pack_with_nothing_but_a_damaged_frame_is_rewritten(
        self, repo: ModelRepository, file: Path, place: int
    ) -> None:
        repo.save_files(file)
        pack = _pack(repo, _block(repo).pack)
        data = bytearray(pack.read_bytes())
        data[place] ^= 1
        pack.write_bytes(data)
        assert {touch for damage in repo.verify().damages for touch in damage.touches} == set()
        assert repo.gc(grace=0).packs == (pack.stem,)
        assert repo.verify().clean
        repo.checkout("v1", file.parent / "out")

    def test_the_newest_on_which_the_others_stand_is_damaged(self, repo: ModelRepository, file: Path) -> None:
        contents = []
        for number in range(4):
            contents.append(file.read_bytes())
            repo.save_files(file)
            data = bytearray(contents[-1])
            data[-4000 - number] ^= 1
            file.write_bytes(data)
        _flip(repo, _block(repo, "v4"))
        everybody = {f"main@v{number}" for number in range(1, 5)}
        touches = [touch for damage in repo.verify().damages for touch in damage.touches]
        assert {touch[0] for touch in touches} == everybody
        assert {touch[2] for touch in touches} == {"b"}
        file.write_bytes(contents[3])
        assert repo.save_files(file).new_bytes  # v4's own
        for number, content in enumerate(contents, 1):
            (place,) = repo.checkout(f"v{number}", file.parent / f"back-{number}")
            assert place.read_bytes() == content
        _repaired(repo, file, "v4")

    def test_a_difference_to_the_newest_is_damaged(self, repo: ModelRepository, file: Path) -> None:
        repo.save_files(file)
        before = file.read_bytes()
        data = bytearray(before)
        data[-4000] ^= 1
        file.write_bytes(data)
        repo.save_files(file)
        _flip(repo, _block(repo))
        assert {touch[0] for damage in repo.verify().damages for touch in damage.touches} == {"main@v1"}
        repo.version("v2").tensor("b")
        file.write_bytes(before)
        _repaired(repo, file)

    def test_what_was_mended_otherwise_is_relied_on_again(self, repo: ModelRepository, file: Path) -> None:
        repo.save_files(file)
        place = _block(repo)
        _flip(repo, place)
        repo.verify()
        _flip(repo, place)
        assert repo.version("v1").tensor("b").shape == (3000,)
        assert repo.verify().clean
        assert repo.save_files(file).new_bytes == 0

    def test_only_the_damaged_copy_goes_and_never_the_only_one(
        self, repo: ModelRepository, file: Path
    ) -> None:
        """It may be the disk's cable: what cannot be read today is left where it is."""
        repo.save_files(file)
        place = _block(repo)
        pack = _pack(repo, place.pack)
        _flip(repo, place)
        repo.verify()
        assert repo.gc(grace=0).packs == ()
        assert pack.exists()
        _flip(repo, place)
        assert repo.verify().clean

    @pytest.mark.parametrize("verified", [True, False])
    def test_a_copy_of_a_damaged_file_is_not_overwritten(
        self, repo: ModelRepository, file: Path, verified: bool
    ) -> None:
        """It may be the last one."""
        repo.save_files(file)
        _flip(repo, _block(repo))
        if verified:
            repo.verify()
        other = file.with_name("other") / file.name
        other.parent.mkdir()
        other.write_bytes(b"another model")
        repo.save_files(other)
        before = file.read_bytes()
        with pytest.raises(errors.WouldOverwrite, match="damaged in the repository"):
            repo.checkout("v2", file.parent)
        assert file.read_bytes() == before

    def test_where_the_index_cannot_be_written_the_damage_is_told_all_the_same(
        self, repo: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repo.save_files(file)
        _flip(repo, _block(repo))
        monkeypatch.setattr(Index, "mark", _refuse(errors.StorageFailed("read-only")))
        assert len(repo.verify().damages) == 1


def _refuse(problem: Exception) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise problem

    return refuse
