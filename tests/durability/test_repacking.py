"""A repack may die at any instruction, and go on beside everybody else: no version is ever lost by it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from lepton_ai.repository import ModelRepository

from . import children, trainings
from .test_concurrency import run_together
from .test_trainings import EACH, Trained, _check, _start

PROCESSES = 4
SAVES = 6


class Series(Trained):
    """A few trainings."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for _ in range(SAVES):
            assert self.save(0)

    def repacked(self, max_chain: int) -> None:
        """Repack to the end; then the bound holds, nothing is left over, and there is nothing to do."""
        with ModelRepository(self.place, create=False) as repository:
            repository.repack(max_chain=max_chain)
            again = repository.repack(max_chain=max_chain)
            assert again.after.longest_chain <= max_chain
            assert (again.recoded, again.rewritten, again.after.dead_bytes) == (0, 0, 0)
            history = repository.home.history
            assert [ref for key in ("condemned/", "gc/", "lease/") for ref in history.scan(key)][1:] == []
        self.check(verify=True)


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(tmp_path)


def _kill(series: Series, target: object, max_chain: int, events: range) -> int:
    """Kill a repack of the same repository at these events; the first at which it came to its end."""
    whole, aside = series.place, series.folder / "aside"
    series.place = aside
    for event in events:
        shutil.copytree(whole, aside)
        code = children.run(target, str(aside), max_chain, event)
        series.check(verify=event % 8 == 0)
        if event % 16 == 0:
            series.repacked(max_chain)
        shutil.rmtree(aside)
        if code == 0:
            series.place = whole
            return event
    raise AssertionError("it has more events than were tried")


def test_a_repack_killed_at_every_point(series: Series) -> None:
    """Of what it does to the history, the index and the packs."""
    assert _kill(series, trainings.repack_and_die, 1, range(1, 100, 3)) > 20


def test_a_repack_killed_at_every_few_steps(series: Series) -> None:
    """Of what it does to the disk."""
    assert _kill(series, children.repack, 2, range(1, 1000, 17)) > 60


@pytest.mark.slow
@pytest.mark.parametrize("max_chain", [1, 3, 11])
def test_a_repack_killed_at_every_step(series: Series, max_chain: int) -> None:
    assert _kill(series, children.repack, max_chain, range(1, 1000)) > 60


def test_gc_after_a_killed_repack(series: Series) -> None:
    """It frees what is stored twice."""
    rng = random.Random(5)
    for turn in range(6):
        children.run(children.repack, str(series.place), (1, 11)[turn % 2], 0, kill_after=rng.uniform(0, 0.2))
        assert children.run(children.collect, str(series.place), 0) == 0
        series.check(verify=True)
    series.repacked(3)


def test_repacks_beside_everybody(tmp_path: Path) -> None:
    place, folder = _start(tmp_path), str(tmp_path)
    backup = tmp_path / "backup"
    with ModelRepository(place, create=False) as repository:
        repository.create_branch("side", "v1")
    run_together(
        *((trainings.train_many, str(place), folder, "main", n, EACH) for n in range(PROCESSES)),
        (trainings.train_many, str(place), folder, "side", PROCESSES, EACH),
        (trainings.repack_many, str(place), 3.0),
        (trainings.collect_now_and_then, str(place), 3.0),
        (trainings.read_many, str(place), folder, 3.0),
        (trainings.back_up_many, str(place), str(backup), 3.0),
    )
    with ModelRepository(place, create=False) as repository:
        repository.repack()
    _check(place, tmp_path, {"main": PROCESSES * EACH, "side": EACH})
    with ModelRepository(backup, create=False) as copy:
        assert copy.verify().clean
