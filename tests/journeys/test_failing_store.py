"""A repository over a store that fails: whichever call it is, nothing half-done is seen, and the next try goes on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import LeptonError
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.config import read_config
from lepton_ai.history.home import FOLDER, create
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.blobs.retrying import RetryingBlobs
from lepton_ai.store.contract import Blobs
from lepton_ai.testing.faults import FaultyBlobs, When


class World:
    """A repository whose packs are in memory, its history on disk, and whose cache is lost when it is opened."""

    def __init__(self, folder: Path, like: World | None = None) -> None:
        self.blobs, self.folder, self.place = MemoryBlobs(), folder, folder / FOLDER
        self.expected: dict[str, bytes] = {}
        self._numbers = itertools.count()
        if like is None:
            create(folder, 1, "anna", encrypt=True, recovery_file=folder.parent / "recovery.key")
        else:
            shutil.copytree(like.folder, folder)
            self.blobs._blobs.update(like.blobs._blobs)
            self.expected.update(like.expected)

    def copy(self, root: Path) -> World:
        """The same once more, in a new folder ``root``."""
        return World(root / "repo", self)

    @contextmanager
    def opened(self, blobs: Blobs) -> Iterator[ModelRepository]:
        (self.place / "index.db").unlink(missing_ok=True)
        history = SqliteHistory(self.place / "history.db", timeout=5.0, create=False)
        home = AnyHome(self.place, read_config(self.place), history, blobs, named="memory")
        with ModelRepository.over(home, author="anna") as repository:
            yield repository

    def file(self, content: bytes) -> Path:
        folder = self.folder.parent / f"given-{next(self._numbers)}"
        folder.mkdir()
        (folder / "w.npy").write_bytes(content)
        return folder / "w.npy"

    def check(self) -> None:
        """Whoever opens it finds every version that is there whole, and nothing damaged."""
        with self.opened(self.blobs) as repository:
            verdict = repository.verify()
            assert verdict.clean, verdict
            there = {version.name for version in repository.list_versions()}
            assert there == set(self.expected)
            for name in there:
                target = self.folder.parent / f"out-{next(self._numbers)}"
                repository.checkout(name, target)
                assert (target / "w.npy").read_bytes() == self.expected[name]
        assert not list((self.place / "tmp").glob("*")), "something was left behind"


def weights(seed: int) -> bytes:
    values = np.random.default_rng(0).normal(size=5_000).astype(np.float32)
    values[:: 10 + seed] += seed
    return b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (5000,), }".ljust(117) + b"\n" + values.tobytes()
    )


def save(world: World, repository: ModelRepository) -> None:
    content = weights(len(world.expected))
    version = repository.save_files(world.file(content))
    world.expected[version.name] = content


def save_and_drop(world: World, repository: ModelRepository) -> None:
    name = min(world.expected)
    repository.delete_version(name)
    del world.expected[name]


STEPS: dict[str, Callable[[World, ModelRepository], object]] = {
    "save": save,
    "save again": save,
    "read": lambda world, repository: repository.checkout(
        "v1", world.folder.parent / "checked-out", force=True
    ),
    "delete": save_and_drop,
    "collect": lambda world, repository: repository.gc(grace=0),
    "repack": lambda world, repository: repository.repack(),
    "verify": lambda world, repository: repository.verify(),
    "save once more": save,
}


def until(world: World, last: str) -> None:
    """Everything before ``last`` is done on a healthy store."""
    for name, step in STEPS.items():
        if name == last:
            return
        with world.opened(world.blobs) as repository:
            step(world, repository)


@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in STEPS if name != "delete"])
def test_any_call_may_fail_once(name: str, when: When, tmp_path: Path) -> None:
    """The step fails, or does without; then it is done again, on a store that works."""
    start = World(tmp_path / "start" / "repo")
    until(start, name)
    for number in itertools.count():
        world = start.copy(tmp_path / str(number))
        faulty = FaultyBlobs(world.blobs, [number], when)
        try:
            with world.opened(faulty) as repository:
                STEPS[name](world, repository)
        except LeptonError as error:
            assert faulty.failures, error  # noqa: PT017
            world.check()
            with world.opened(world.blobs) as repository:
                STEPS[name](world, repository)
        world.check()
        shutil.rmtree(tmp_path / str(number))
        if not faulty.failures:  # there was no such call: all were tried
            break
    assert number > 1


def test_a_short_failure_is_not_noticed(tmp_path: Path) -> None:
    """With another try, everything goes on while every fifth call fails."""
    world = World(tmp_path / "repo")
    faulty = FaultyBlobs(world.blobs, range(0, 100_000, 5))
    for step in STEPS.values():
        with world.opened(RetryingBlobs(faulty, wait=lambda _: None)) as repository:
            step(world, repository)
    assert faulty.failures > 10
    world.check()
