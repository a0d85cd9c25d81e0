"""Servers that know packs by indexes of their own: what another one deleted is not relied on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.history.changes import branches
from lepton_ai.history.changes.attempt import Act, attempt, now
from lepton_ai.repository import ModelRepository
from lepton_ai.server.homes import Homes
from lepton_ai.server.keeping_keys import complete
from lepton_ai.store.blobs.local import LocalBlobs


@pytest.fixture
def hosts(tmp_path: Path, empty_catalog: Path) -> Callable[[str], ModelRepository]:
    """The same repository on servers with caches of their own."""
    shutil.copy(empty_catalog, tmp_path / "catalog.db")
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    key = tmp_path / "keys" / "server.key"
    row = repositories.create(catalog, complete(wire.NewRepository("ada", "digits"), key), "ada")

    def host(name: str) -> ModelRepository:
        homes = Homes(catalog, LocalBlobs(tmp_path / "objects"), tmp_path / name, key)
        return homes.open(row, author=name)

    first = host("first")
    attempt(first.home.history, lambda: branches.create(first.lines, "main", Act("ada", now())))
    return host


def test_a_save_does_not_rely_on_what_another_host_freed(
    hosts: Callable[[str], ModelRepository], tmp_path: Path
) -> None:
    """v2 is deleted and freed by the other host; saving the same file again must store it again."""
    one, two = hosts("one"), hosts("two")
    for number in (1, 2):
        np.save(tmp_path / "model.npy", np.random.default_rng(number).random(200_000))
        one.save_files(tmp_path / "model.npy")
    kept = (tmp_path / "model.npy").read_bytes()
    two.delete_version("v2", "main")
    assert two.gc(grace=0).packs
    made = one.save_files(tmp_path / "model.npy")
    assert made.name == "v3"
    fresh = hosts("fresh")
    fresh.checkout(fresh.version("v3"), tmp_path / "out")
    assert (tmp_path / "out" / "model.npy").read_bytes() == kept
    assert fresh.verify().clean


def test_what_another_host_repacked_is_read_all_the_same(
    hosts: Callable[[str], ModelRepository], tmp_path: Path
) -> None:
    one, two = hosts("one"), hosts("two")
    model = np.random.default_rng(1).random(200_000)
    for number in range(4):
        model[number] = number
        np.save(tmp_path / "model.npy", model)
        one.save_files(tmp_path / "model.npy")
    two.repack(max_chain=1)
    one.checkout(one.version("v4"), tmp_path / "out")
    assert (tmp_path / "out" / "model.npy").read_bytes() == (tmp_path / "model.npy").read_bytes()
