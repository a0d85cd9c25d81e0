"""A process may die at any instruction: nothing that was saved is lost, and the command can be repeated."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lepton_ai.repository import ModelRepository

from . import children

TIMED = 110
EVENTS = range(1, 61)


class Kept:
    """A repository with versions whose bytes are known, checked after every crash."""

    name = "model.bin"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "repo"
        self.file = folder / self.name
        self.known: dict[str, bytes] = {}
        self.rng = random.Random(7)
        self.body = self.rng.randbytes(200_000)
        with ModelRepository(self.place, author="anna") as repository:
            for _ in range(3):
                self.write()
                version = repository.save_files(self.file)
                self.known[version.id] = self.file.read_bytes()

    def write(self) -> None:
        """The next model: a little different from the one before."""
        start = self.rng.randrange(len(self.body) - 100)
        self.body = self.body[:start] + self.rng.randbytes(100) + self.body[start + 100 :]
        self.file.write_bytes(self.body)

    def check(self, *, verify: bool) -> None:
        """Every version reads back; what a killed save completed is known from now on."""
        with ModelRepository(self.place, create=False, author="anna") as repository:
            listed = {info.id for info in repository.list_versions()}
            assert set(self.known) <= listed
            extra = listed - set(self.known)
            assert len(extra) <= 1
            for version_id in extra:
                self.known[version_id] = self.file.read_bytes()
            for version_id, data in list(self.known.items())[-4:]:
                out = self.folder / "out"
                (out / self.name).unlink(missing_ok=True)
                repository.checkout(repository.version(version_id), out)
                assert (out / self.name).read_bytes() == data
            if verify:
                verdict = repository.verify()
                assert verdict.clean, verdict.damages


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def kill_saves(kept: Kept, times: int, seed: int) -> None:
    rng = random.Random(seed)
    save = (children.save, str(kept.place), str(kept.file), "main", 0)
    killed = 0
    for turn in range(times):
        kept.write()
        killed += children.run(*save, kill_after=rng.uniform(0, 0.12)) != 0
        kept.check(verify=turn % 10 == 9)
    assert killed > times // 4, "the kills came too late to test anything"
    assert children.run(*save) == 0
    kept.check(verify=True)


def test_a_save_killed_at_any_moment(kept: Kept) -> None:
    kill_saves(kept, TIMED, seed=1)


@pytest.mark.slow
def test_a_thousand_killed_saves(kept: Kept) -> None:
    kill_saves(kept, 1000, seed=random.randrange(2**32))


def test_a_save_killed_at_every_step(kept: Kept) -> None:
    completed = False
    for event in EVENTS:
        kept.write()
        code = children.run(children.save, str(kept.place), str(kept.file), "main", event)
        completed = completed or code == 0
        kept.check(verify=event % 5 == 0)
    assert completed, "a save has more steps than were tried"


def test_a_collection_killed_at_any_moment(kept: Kept) -> None:
    rng = random.Random(2)
    killed = 0
    for turn in range(TIMED):
        with ModelRepository(kept.place, create=False, author="anna") as repository:
            kept.write()
            doomed = repository.save_files(kept.file)
            repository.delete_version(doomed)
        code = children.run(
            children.collect,
            str(kept.place),
            turn % 25 if turn < 50 else 0,
            kill_after=rng.uniform(0, 0.15) if turn >= 50 else None,
        )
        killed += code != 0
        kept.check(verify=turn % 10 == 9)
    assert killed > TIMED // 4
    assert children.run(children.collect, str(kept.place), 0) == 0
    kept.check(verify=True)
    with ModelRepository(kept.place, create=False) as repository:
        assert repository.gc(grace=0, dry_run=True).packs == ()
