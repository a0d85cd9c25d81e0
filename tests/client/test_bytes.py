"""All that passes over the wire, both ways and with every header, against what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai import ModelRepository
from lepton_ai.client.blobs import HttpBlobs
from tests.client.conftest import Server
from tests.client.places import begun, content, names, place, save, size_of, tuned, weights
from tests.client.proxy import Wire

MOST = 1.05
"""What a journey costs, of what is stored."""
TALK = 12_000
"""Bytes that are said besides: who asks, what there is, the version's record, the list of packs, headers of HTTP."""


def fine_tuned(seed: int) -> dict[str, Any]:
    """A model of 2 MiB of which a third of the numbers was changed: a difference of some hundred KB."""
    model = weights()
    for number in range(400):
        model = tuned(model, 1000 * seed + number)
    return model


@pytest.fixture
def ours(wire: Wire, tmp_path: Path) -> Iterator[ModelRepository]:
    with begun(wire, tmp_path) as repo:
        yield repo


def saved(repo: ModelRepository, folder: Path, model: dict[str, Any]) -> int:
    """Save a model; the bytes by which what is stored grew."""
    before = size_of(repo)
    save(repo, folder, model)
    return size_of(repo) - before


def test_a_push_and_a_pull_of_a_fine_tune_cost_its_difference(
    wire: Wire, ours: ModelRepository, tmp_path: Path
) -> None:
    with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
        for seed in (1, 2):
            stored = saved(ours, tmp_path / "in", fine_tuned(seed))
            wire.reset()
            ours.push()
            assert stored < wire.total <= min(MOST * stored, stored + TALK)
            assert wire.requests <= 8
            wire.reset()
            copy.pull()
            assert wire.total <= min(MOST * stored, stored + TALK)
            assert wire.requests <= 9
        assert content(copy, "v3", tmp_path / "out") == content(ours, "v3", tmp_path / "own")


def test_small_fine_tunes_cost_little_more_than_themselves(
    wire: Wire, ours: ModelRepository, tmp_path: Path
) -> None:
    with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
        for seed in range(1, 6):
            stored = saved(ours, tmp_path / "in", tuned(weights(), seed))
            assert stored < 50_000
            wire.reset()
            ours.push()
            assert wire.total <= stored + TALK
            wire.reset()
            copy.pull()
            assert wire.total <= stored + TALK
        assert names(copy) == names(ours)


def test_a_first_push_and_a_clone_cost_what_is_stored(wire: Wire, running: Server, tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        ours.add_remote("origin", place(wire, tmp_path))
        save(ours, tmp_path / "in", weights())
        for seed in range(1, 9):
            save(ours, tmp_path / "in", tuned(weights(), seed))
        stored = size_of(ours)
        wire.reset()
        ours.push()
        assert wire.total <= MOST * stored
        assert wire.requests <= 12
        wire.reset()
        with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
            assert wire.total <= MOST * stored
            assert wire.requests <= 16
            assert names(copy) == names(ours)
    with ModelRepository(place(running, tmp_path)) as far:
        assert far.verify().clean


def test_a_clone_of_many_small_packs_asks_few_questions(wire: Wire, running: Server, tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        ours.add_remote("origin", place(wire, tmp_path))
        for seed in range(30):
            save(ours, tmp_path / "in", {"w": weights(seed)["layer0"][:1000]})
            ours.push()
        wire.reset()
        with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
            assert wire.requests <= 12
            assert names(copy) == names(ours)
            assert content(copy, "v7", tmp_path / "out") == content(ours, "v7", tmp_path / "own")
    with ModelRepository(place(wire, tmp_path)) as far:  # its index is kept from before
        far.home.store._index.path.unlink()
        blobs = far.home.blobs
        assert isinstance(blobs, HttpBlobs)
        blobs._pieces._path += "-of-tomorrow"  # a server that does not know of this
        wire.reset()
        assert far.verify().clean
        assert wire.requests > 30


def test_who_has_everything_is_told_so_in_few_words(
    wire: Wire, ours: ModelRepository, tmp_path: Path
) -> None:
    with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
        for verb in (ours.push, copy.pull):
            verb()
            wire.reset()
            verb()
            assert wire.total < 4_000
            assert wire.requests <= 3
