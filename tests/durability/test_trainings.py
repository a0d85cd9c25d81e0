"""Packs go with every save: whoever dies, or saves, reads, collects or backs up beside it, nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.repository import ModelRepository
from lepton_ai.store.coder import LONGEST_FORWARD, TALLEST
from lepton_ai.store.routes import Routes

from . import children, trainings
from .test_concurrency import run_together
from .test_crash import Kept, kill_saves

PROCESSES = 8
EACH = 6


class Trained(Kept):
    """Versions of weights whose bytes are known."""

    name = "model.safetensors"

    def __init__(self, folder: Path) -> None:
        self.weights = trainings.layers(1)
        self.turn = 0
        super().__init__(folder)

    def write(self) -> None:
        """Train all layers, or all but one: then what stays in the same pack has to be copied."""
        self.turn += 1
        trainings.train(self.weights, np.random.default_rng(self.turn), frozen=self.turn % 2)
        save_file(self.weights, self.file)

    def save(self, event: int) -> bool:
        """The next version; whether the process lived."""
        self.write()
        code = children.run(trainings.save_and_settle, str(self.place), str(self.file), event)
        with ModelRepository(self.place, create=False) as repository:
            self.known[repository.version("main").id] = self.file.read_bytes()
        return code == 0

    def collect(self) -> None:
        """Collect garbage; then nothing is left to do."""
        assert children.run(children.collect, str(self.place), 0) == 0
        self.check(verify=True)
        check_settled(self.place)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


def check_settled(place: Path) -> None:
    """Nothing is stored twice, condemned or held, and no version is far from what is kept in full."""
    with ModelRepository(place, create=False) as repository:
        store, history = repository.home.store, repository.home.history
        assert store.spare(None) == ((), (), frozenset())
        assert [
            ref.key for prefix in ("condemned/", "gc/running", "lease/") for ref in history.scan(prefix)
        ] == []
        plan = repository.gc(grace=0, dry_run=True)
        assert (plan.packs, plan.rewritten) == ((), ())
        routes = Routes(store._index)
        for info in repository.list_versions():
            for manifest in repository.reader.manifests(repository.version(info.id).files).values():
                ways = [routes.route(id_) for stream in manifest.content.streams for id_ in stream.ids]
                assert all(way and len(way) <= TALLEST + LONGEST_FORWARD + 1 for way in ways)


def test_a_save_of_weights_killed_at_any_moment(trained: Trained) -> None:
    kill_saves(trained, 50, seed=3)
    trained.collect()


@pytest.mark.parametrize("copying", [False, True])
def test_settling_killed_at_every_point(trained: Trained, copying: bool) -> None:
    """The version counts already; gc frees what is left, and so does no save worse than the one before."""
    killed = []
    for event in range(1, 31):
        if trained.turn % 2 == copying:  # every other save leaves a layer alone
            assert trained.save(0)
        if not trained.save(event):
            killed.append(event)
        trained.check(verify=event % 3 == 0)
        if event % 4 == 0:
            trained.collect()
    assert (18 if copying else 10) < max(killed) < 30, (
        "settling has more points than were tried, or fewer than it had"
    )
    trained.collect()


def test_a_collection_after_saves_that_could_not_settle(trained: Trained) -> None:
    for _ in range(5):
        assert not trained.save(1)
    with ModelRepository(trained.place, create=False) as repository:
        plan = repository.gc(dry_run=True)
        before = repository.stats().pack_bytes
        report = repository.gc()
        assert report.bytes > before / 3
        assert set(report.packs) == set(plan.packs) | set(plan.rewritten)
        assert abs(report.bytes - plan.bytes) < 0.05 * before
        assert repository.stats().pack_bytes == before - report.bytes == report.kept_bytes
    trained.check(verify=True)
    trained.collect()


def _start(folder: Path) -> Path:
    save_file(trainings.layers(0), folder / "start.safetensors")
    with ModelRepository(folder / "repo") as repository:
        repository.save_files(folder / "start.safetensors", message="start")
    return folder / "repo"


def _check(place: Path, folder: Path, branches: dict[str, int]) -> None:
    with ModelRepository(place, create=False) as repository:
        for branch, count in branches.items():
            found = [repository.version(info.id) for info in repository.list_versions(branch)]
            assert len({version.message for version in found} - {"start"}) == count
            for version in found:
                (path,) = version.checkout(folder / "out" / version.id)
                assert path.read_bytes() == (folder / path.name).read_bytes()
        assert repository.verify().clean
        repository.gc(grace=0)
        assert repository.verify().clean
    check_settled(place)


def test_eight_trainings_on_one_branch_and_whoever_else_there_is(tmp_path: Path) -> None:
    place, folder = _start(tmp_path), str(tmp_path)
    backup = tmp_path / "backup"
    run_together(
        *((trainings.train_many, str(place), folder, "main", n, EACH) for n in range(PROCESSES)),
        (children.collect_many, str(place), 3.0),
        (trainings.read_many, str(place), folder, 4.0),
        (trainings.back_up_many, str(place), str(backup), 4.0),
    )
    _check(place, tmp_path, {"main": PROCESSES * EACH})
    with ModelRepository(backup, create=False) as copy:
        assert copy.verify().clean


def test_eight_trainings_on_branches_from_one_version(tmp_path: Path) -> None:
    place, folder = _start(tmp_path), str(tmp_path)
    with ModelRepository(place, create=False) as repository:
        for number in range(PROCESSES):
            repository.create_branch(f"b{number}", "v1")
    run_together(
        *((trainings.train_many, str(place), folder, f"b{n}", n, EACH) for n in range(PROCESSES)),
        (trainings.read_many, str(place), folder, 3.0),
    )
    _check(place, tmp_path, {f"b{number}": EACH for number in range(PROCESSES)})
