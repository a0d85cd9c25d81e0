"""What stats say holds: the parts add up to the folder, and deleting a version frees what was told."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import asdict
from safetensors.numpy import save_file

from lepton_ai.history.stats import Stats, VersionStats
from lepton_ai.repository import ModelRepository

LAYERS, SIZE = 6, 5000


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna")


class Training:
    """Saves the same model again and again; all layers but the first ``frozen`` move."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "model.safetensors"
        self.rng = np.random.default_rng(3)
        self.weights = {f"layer.{i}": self._noise(0.02) for i in range(LAYERS)}

    def save(self, repo: ModelRepository, branch: str = "main", frozen: int = 2) -> None:
        for name in list(self.weights)[frozen:]:
            self.weights[name] = self.weights[name] + self._noise(1e-5)
        save_file(self.weights, self.file)
        repo.save_files(self.file, branch)

    def _noise(self, scale: float) -> np.ndarray:
        return self.rng.normal(0, scale, SIZE).astype(np.float32)


@pytest.fixture
def trained(repo: ModelRepository, tmp_path: Path) -> ModelRepository:
    """Versions of two branches from one parent, one of which has a second file that is none of the others'."""
    training = Training(tmp_path)
    for _ in range(3):
        training.save(repo)
    repo.create_branch("side", "v2")
    training.save(repo, "side", frozen=4)
    training.save(repo)
    other = tmp_path / "other.bin"
    other.write_bytes(random.Random(1).randbytes(30_000))
    repo.save_files([training.file, other])
    return repo


def _du(repo: ModelRepository) -> int:
    return sum(file.stat().st_size for file in repo.home.place.rglob("*") if file.is_file())


def _check(repo: ModelRepository) -> Stats:
    """The laws; gives the stats."""
    found = repo.stats()
    parts = asdict(found.parts)
    assert all(size >= 0 for size in parts.values())
    assert sum(parts.values()) == found.stored_bytes == _du(repo)
    assert found.pack_bytes == sum(parts[name] for name in ("unique", "shared", "deleted", "dead", "frames"))
    whole = found.whole
    assert whole.stored_bytes == found.parts.unique + found.parts.shared + found.parts.deleted
    for taken in (whole, *(version.taken for version in found.versions)):
        assert sum(use.stored_bytes for use in taken.codecs) == taken.stored_bytes
        assert 0 <= taken.unique_bytes <= taken.stored_bytes <= whole.stored_bytes
        assert taken.unique_bytes + taken.shared_bytes == taken.stored_bytes
        assert 0 <= taken.mean_chain <= taken.longest_chain
    assert sum(version.taken.unique_bytes for version in found.versions) == whole.unique_bytes
    assert [version.info for version in found.versions] == repo.list_versions()
    assert found.raw_bytes == sum(version.info.raw_bytes for version in found.versions)
    return found


def _named(found: Stats) -> dict[str, VersionStats]:
    return {f"{version.info.branch}@{version.info.name}": version for version in found.versions}


def test_an_empty_repository(repo: ModelRepository) -> None:
    found = _check(repo)
    assert (found.raw_bytes, found.versions, found.whole.stored_bytes, found.ratio) == (0, (), 0, 0.0)


def test_the_parts_add_up(trained: ModelRepository) -> None:
    found = _check(trained)
    assert len(found.versions) == 6
    assert found.parts.dead == found.parts.deleted == 0
    assert {use.codec for use in found.whole.codecs} >= {"zstd", "raw"}
    newest, first = found.versions[-1], _named(found)["main@v1"]
    assert newest.taken.longest_chain == 0
    assert first.taken.longest_chain >= 2
    assert newest.taken.unique_bytes >= 30_000
    assert newest.ratio < first.ratio


@pytest.mark.parametrize("address", ["main@v1", "main@v2", "main@v3", "side@v3", "main@v4", "main@v5"])
def test_deleting_a_version_frees_what_is_unique(trained: ModelRepository, address: str) -> None:
    """Exactly, by objects: those that others have or stand on stay, also when nobody has them as his own any more."""
    before = _check(trained)
    one = _named(before)[address]
    trained.delete_version(address)
    deleted = _check(trained)
    assert deleted.whole.stored_bytes == before.whole.stored_bytes
    assert deleted.parts.deleted == one.taken.unique_bytes
    trained.gc(grace=0)
    after = _check(trained)
    assert before.whole.stored_bytes - after.whole.stored_bytes == one.taken.unique_bytes
    assert (after.parts.deleted, len(after.versions)) == (0, 5)
    assert before.pack_bytes - after.pack_bytes <= one.taken.unique_bytes + before.parts.frames


def test_a_base_that_is_no_versions_any_more_counts_for_the_one_that_needs_it(
    repo: ModelRepository, tmp_path: Path
) -> None:
    training = Training(tmp_path)
    for _ in range(2):
        training.save(repo, frozen=0)
    before = _named(_check(repo))["main@v1"].taken
    assert before.longest_chain == 1
    repo.delete_version("v2")
    repo.gc(grace=0)
    found = _check(repo)
    (first,) = found.versions
    assert first.taken.stored_bytes == first.taken.unique_bytes == found.whole.stored_bytes
    assert first.taken.stored_bytes > before.stored_bytes + LAYERS * SIZE


def test_revisions_belong_to_their_version(repo: ModelRepository, tmp_path: Path) -> None:
    """And what several versions have is none's alone, under whatever name."""
    file = tmp_path / "a.bin"
    file.write_bytes(random.Random(1).randbytes(50_000))
    repo.save_files(file)
    file.write_bytes(random.Random(2).randbytes(70_000))
    repo.update_version("v1", file)
    (only,) = _check(repo).versions
    assert only.info.raw_bytes == 70_000
    assert only.taken.unique_bytes == only.taken.stored_bytes > 120_000
    repo.save_files(file.rename(tmp_path / "b.bin"))
    first, second = _check(repo).versions
    assert second.taken.unique_bytes == 0
    assert 50_000 < first.taken.unique_bytes < 51_000
    assert second.taken.stored_bytes > 70_000


def test_what_nobody_needs_is_dead(trained: ModelRepository, tmp_path: Path) -> None:
    before = _check(trained)
    with trained.home.store.writer() as writer:
        writer.put(random.Random(5).randbytes(10_000))
        written = writer.finish()
    after = _check(trained)
    assert 10_000 < after.parts.dead < written.bytes
    assert after.whole == before.whole


def test_damage_is_told_and_the_rest_is_counted(trained: ModelRepository) -> None:
    before = trained.stats()
    assert before.unreadable == 0
    (file,) = trained.version("v1").files
    place = trained.home.history.contents([bytes.fromhex(file.sha256)])[bytes.fromhex(file.sha256)]
    (where,) = trained.home.store._index.find([place.manifest])[place.manifest]
    pack = trained.home.place / "packs" / where.pack[:2] / f"{where.pack}.pack"
    data = bytearray(pack.read_bytes())
    data[where.offset + 100] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    found = _check(trained)
    assert found.unreadable == 1
    told, was = _named(found), _named(before)
    assert told["main@v1"].taken.stored_bytes < was["main@v1"].taken.stored_bytes / 10
    assert told["main@v5"].taken.stored_bytes == was["main@v5"].taken.stored_bytes
    assert found.parts.dead > 0
