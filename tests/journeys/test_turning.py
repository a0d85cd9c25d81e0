"""Versions of one branch: the newest in full, the older ones as differences; and what that means for everybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.history import save as saves
from lepton_ai.history.files import collect
from lepton_ai.history.leases import Lease
from lepton_ai.history.turns import Turn
from lepton_ai.history.writing import Saving
from lepton_ai.repository import ModelRepository
from lepton_ai.store.coder import LONGEST_FORWARD, TALLEST
from lepton_ai.store.routes import Routes
from lepton_ai.store.store import Store

LAYERS, SIZE = 12, 5000


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna")


class Model:
    """A model that is trained on and on; ``known`` are the bytes of its versions by their names."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.file = folder / "model.safetensors"
        self.weights = {f"layer.{i:02}": rng.normal(0, 0.02, SIZE).astype(np.float32) for i in range(LAYERS)}
        self.known: dict[str, bytes] = {}
        self._steps = 0

    def save(self, repo: ModelRepository, branch: str = "main", frozen: int = 0) -> str:
        self._steps += 1
        rng = np.random.default_rng(self._steps)
        for name in list(self.weights)[frozen:]:
            self.weights[name] = self.weights[name] + rng.normal(0, 1e-5, SIZE).astype(np.float32)
        save_file(self.weights, self.file)
        address = f"{branch}@{repo.save_files(self.file, branch).name}"
        self.known[address] = self.file.read_bytes()
        return address

    def check(self, repo: ModelRepository) -> None:
        """Every version is what it was."""
        for number, (address, data) in enumerate(self.known.items()):
            (path,) = repo.checkout(address, self.file.parent / f"out-{self._steps}-{number}")
            assert path.read_bytes() == data
        assert repo.verify().clean


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


def _steps(repo: ModelRepository, address: str) -> int:
    """Objects that must be opened at most for one block of a version."""
    routes = Routes(repo.home.store._index)
    found = repo.reader.manifests(repo.version(address).files).values()
    ids = [
        id_ for manifest in found for stream in manifest.content.streams if stream.key for id_ in stream.ids
    ]
    return max(len(routes.route(id_) or ()) for id_ in ids)


def _packs(repo: ModelRepository) -> set[str]:
    return {pack.stem for pack in (repo.home.place / "packs").rglob("*.pack")}


def test_the_newest_is_always_in_full_and_the_rest_small(repo: ModelRepository, model: Model) -> None:
    first = model.save(repo)
    whole = repo.stats().pack_bytes
    for _ in range(2 * TALLEST):
        newest = model.save(repo)
        assert _steps(repo, newest) == 1
    assert max(_steps(repo, address) for address in model.known) <= TALLEST + LONGEST_FORWARD + 1
    assert _steps(repo, first) == TALLEST + 1
    # In full: the newest, and one in eleven. Nobody collected garbage.
    assert repo.stats().pack_bytes < whole * (2 + 0.65 * 2 * TALLEST)
    assert repo.gc(grace=0, dry_run=True).packs == ()
    model.check(repo)


def test_two_layers_of_twelve_cost_two_layers(repo: ModelRepository, model: Model) -> None:
    model.save(repo)
    whole = repo.stats().pack_bytes
    for _ in range(6):
        model.save(repo, frozen=LAYERS - 2)
    kept = sum(info.stored_bytes for info in repo.list_versions())
    assert repo.stats().pack_bytes < whole * (1 + 2 / 12 + 6 * 0.65 * 2 / 12) * 1.1
    assert kept > 0
    model.check(repo)


def test_the_head_of_another_branch_stays_in_full(repo: ModelRepository, model: Model) -> None:
    shared = model.save(repo)
    repo.create_branch("side", shared)
    packs = _packs(repo)
    newest = model.save(repo)
    assert (_steps(repo, shared), _steps(repo, newest)) == (1, 2)
    assert packs < _packs(repo), "nothing went"
    side = model.save(repo, "side")  # now it is the head of this one only
    assert (_steps(repo, side), _steps(repo, shared), _steps(repo, newest)) == (1, 2, 3)
    model.check(repo)


def test_a_save_whose_base_becomes_a_difference_meanwhile_succeeds(
    repo: ModelRepository, model: Model
) -> None:
    """At once: what it relies on can still be read, and what it relied on to begin with waits for it."""
    model.save(repo)
    save_file({name: value + np.float32(1e-6) for name, value in model.weights.items()}, model.file)
    for turn in (True, False):
        parent = repo.version("main").record
        saving = Saving(repo.home.history, repo.home.store, "save", turn=turn)
        with saving:
            saving.add_files(collect([model.file]), parent)
            with ModelRepository(repo.path, author="ben") as other:
                model.save(other)
            saving.finish()
            assert saving.checks()
            assert saving.releases()
        model.check(repo)
    repo.gc(grace=0)
    model.check(repo)


def test_packs_that_somebody_reads_wait_and_go_with_a_later_save(repo: ModelRepository, model: Model) -> None:
    model.save(repo)
    packs = _packs(repo)
    with Lease(repo.home.history, "backup"):
        model.save(repo)
        assert packs <= _packs(repo)
    model.save(repo)
    assert not repo.home.history.scan("condemned/")
    assert len(packs & _packs(repo)) == 1, "the one with the manifest"
    model.check(repo)


def test_nothing_of_it_is_in_the_log(repo: ModelRepository, model: Model) -> None:
    for _ in range(4):
        model.save(repo)
    assert {entry.act for entry in repo.log()} == {"save", "create repository"}


@pytest.mark.parametrize("others", [0, 1])
def test_who_settles_looks_again_when_others_deleted_packs_meanwhile(
    repo: ModelRepository, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """What was found to be spared before the turn was taken may be gone when it is."""
    model.save(repo)
    begin, spare, looks = Turn.begin, Store.spare, list[Store]()
    waiting = [tmp_path / "other.safetensors"] * others

    def begin_late(turn: Turn) -> None:
        if waiting:
            file = waiting.pop()
            save_file({name: value + np.float32(1e-6) for name, value in model.weights.items()}, file)
            with ModelRepository(repo.path, author="ben") as other:
                other.save_files(file, "main")
        begin(turn)

    def look(store: Store, *arguments: Any, **named: Any) -> Any:
        looks.append(store)
        return spare(store, *arguments, **named)

    monkeypatch.setattr(Turn, "begin", begin_late)
    monkeypatch.setattr(Store, "spare", look)
    model.save(repo, frozen=LAYERS // 2)
    assert not waiting, "nothing had to be copied"
    assert looks.count(repo.home.store) == 1 + others
    model.save(repo)
    model.check(repo)


def test_gc_frees_what_saves_could_not(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(saves, "settled", lambda *_: (0, []))
        for _ in range(4):
            model.save(repo)
    before = repo.stats().pack_bytes
    plan = repo.gc(dry_run=True)
    assert repo.stats().pack_bytes == before
    report = repo.gc()
    assert set(report.packs) == set(plan.packs)
    assert report.bytes == plan.bytes > before / 3
    assert repo.gc().packs == ()
    assert [_steps(repo, address) for address in model.known] == [4, 3, 2, 1]
    model.check(repo)


def test_a_save_that_never_counted_makes_nothing_needless(repo: ModelRepository, model: Model) -> None:
    """Its differences lead to blocks that no version has."""
    first = model.save(repo)
    save_file({name: value + np.float32(1e-6) for name, value in model.weights.items()}, model.file)
    packs = _packs(repo)
    with Saving(repo.home.history, repo.home.store, "save", turn=True) as saving:
        saving.add_files(collect([model.file]), repo.version("main").record)
        saving.finish()
    assert repo.gc(dry_run=True).packs == repo.gc().packs == ()  # younger than the grace
    assert packs < _packs(repo)
    repo.gc(grace=0)
    assert packs == _packs(repo)
    assert _steps(repo, first) == 1
    model.check(repo)


def test_a_save_upon_such_a_one_frees_it_all_the_same(repo: ModelRepository, model: Model) -> None:
    model.save(repo)
    with Saving(repo.home.history, repo.home.store, "save", turn=True) as saving:
        save_file({name: value + np.float32(1e-6) for name, value in model.weights.items()}, model.file)
        saving.add_files(collect([model.file]), repo.version("main").record)
        saving.finish()
    model.save(repo)
    model.save(repo)
    repo.gc(grace=0)
    model.check(repo)


def test_deleted_versions_take_nothing_with_them(repo: ModelRepository, model: Model) -> None:
    """Older versions stand on newer ones, and those on still newer ones."""
    for _ in range(6):
        model.save(repo)
    for name in ("v6", "v5", "v3"):
        repo.delete_version(name)
        del model.known[f"main@{name}"]
    repo.gc(grace=0)
    model.check(repo)
    model.save(repo)
    repo.gc(grace=0)
    model.check(repo)


def test_garbage_without_its_base_is_no_damage(repo: ModelRepository, model: Model, tmp_path: Path) -> None:
    """A pack that is needed for something else still holds it."""
    both = tmp_path / "both"
    both.mkdir()
    model.save(repo)
    repo.create_branch("side", "v1")  # so that the next one is a difference to it
    data = bytearray(model.file.read_bytes())
    data[-3] ^= 1
    (both / "model.safetensors").write_bytes(data)
    (both / "notes.bin").write_bytes(np.random.default_rng(1).bytes(100_000))
    repo.save_files(both)
    (both / "model.safetensors").unlink()
    repo.save_files(both)
    repo.delete_branch("side")
    for name in ("v1", "v2"):
        repo.delete_version(name)
    repo.gc(grace=0)
    for fast in (True, False):
        assert repo.verify(fast=fast).damages == ()
    (path,) = repo.checkout("v3", tmp_path / "out")
    assert path.read_bytes() == (both / "notes.bin").read_bytes()


def test_what_a_save_says_it_stored_is_what_the_packs_grew(repo: ModelRepository, tmp_path: Path) -> None:
    """Packs that became needless are taken off."""
    file, random = tmp_path / "model.safetensors", np.random.default_rng(0)
    weights = {name: random.normal(0, 0.02, 50_000).astype(np.float32) for name in "abcd"}

    def size() -> int:
        return sum(pack.stat().st_size for pack in (tmp_path / "repo").rglob("*.pack"))

    for _ in range(4):
        save_file(weights, file)
        before = size()
        assert repo.save_files(file, "main").new_bytes == size() - before
        assert repo.save_files(file, "main").new_bytes == 0, "the same once more"
        weights = {
            name: w + random.normal(0, 1e-5, w.shape).astype(np.float32) for name, w in weights.items()
        }
