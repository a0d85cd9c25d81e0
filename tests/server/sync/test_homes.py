"""Repositories that a server keeps open: few at a time, anew when their keys change, never under somebody's hands."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.repositories import Row
from lepton_ai.errors import KeyMissing
from lepton_ai.history.changes import branches
from lepton_ai.history.changes.attempt import Act, attempt, now
from lepton_ai.repository import ModelRepository
from lepton_ai.server import homes as module
from lepton_ai.server.homes import ENVELOPE, Homes
from lepton_ai.server.keeping_keys import complete
from lepton_ai.store.blobs.local import LocalBlobs


@pytest.fixture
def homes(tmp_path: Path, empty_catalog: Path) -> Homes:
    shutil.copy(empty_catalog, tmp_path / "catalog.db")
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    return Homes(
        catalog, LocalBlobs(tmp_path / "objects"), tmp_path / "cache", tmp_path / "keys" / "server.key"
    )


def made(homes: Homes, name: str) -> Row:
    new = complete(wire.NewRepository("ada", name), homes.server_key_file)
    row = repositories.create(homes.catalog, new, "ada")
    there = homes.open(row, author="ada")
    attempt(there.home.history, lambda: branches.create(there.lines, "main", Act("ada", now())))
    return row


def save(there: ModelRepository, folder: Path, seed: int) -> bytes:
    folder.mkdir(exist_ok=True)
    np.save(folder / "model.npy", np.random.default_rng(seed).random(1000))
    there.save_files(folder / "model.npy")
    return (folder / "model.npy").read_bytes()


def test_many_threads_share_few_open_ones(
    homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More repositories than are kept open, and each closed under those who work with it: nobody notices."""
    monkeypatch.setattr(module, "OPEN", 1)
    rows = [made(homes, f"r{number}") for number in range(3)]
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                there = homes.open(rows[number % 3], author=f"worker {number}")
                save(there, tmp_path / f"work{number}", 100 * number + turn)
        except BaseException as problem:  # noqa: BLE001  (told by the test)
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for row in rows:
        there = homes.open(row)
        assert len(there.list_versions()) == 8
        assert there.verify().clean


def test_files_on_their_way_stay_locked(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked is not swept by another worker, however long it takes."""
    monkeypatch.setattr(module, "OPEN", 1)
    first, second = made(homes, "a"), made(homes, "b")
    opened = homes.opened(first)
    with opened.home.staged() as folder:
        homes.opened(second)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)


def test_a_key_that_is_added_or_taken_away_counts_at_once(homes: Homes, tmp_path: Path) -> None:
    row = made(homes, "a")
    there = homes.open(row, author="ada")
    data = save(there, tmp_path / "in", 1)
    there.home.keyring.rotate()
    (new,) = [
        path
        for path in there.home.keys.glob("sealing-*.json")
        if path.name not in {file.name for file in repositories.keys(homes.catalog, row.number)}
    ]
    repositories.add_key(homes.catalog, row.number, wire.KeyFile(new.name, new.read_bytes()))
    again = homes.open(row, author="ada")
    assert again.home is not there.home
    save(again, tmp_path / "in", 2)
    again.checkout(again.version("v1"), tmp_path / "out")
    assert (tmp_path / "out" / "model.npy").read_bytes() == data
    repositories.remove_key(homes.catalog, row.number, ENVELOPE)
    with pytest.raises(KeyMissing):
        homes.open(row)
    assert len(homes.told(row).list_versions()) == 2


def test_the_cache_may_be_lost(homes: Homes, tmp_path: Path) -> None:
    row = made(homes, "a")
    data = save(homes.open(row), tmp_path / "in", 1)
    homes.close()
    shutil.rmtree(tmp_path / "cache")
    there = homes.open(row)
    there.checkout(there.version("v1"), tmp_path / "out")
    assert (tmp_path / "out" / "model.npy").read_bytes() == data
