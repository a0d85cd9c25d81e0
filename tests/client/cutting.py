"""Journeys on a line that is cut once, at a byte that chance chooses: they end as if it had held."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lepton_ai import ModelRepository
from tests.client.places import content, names, save, size_of
from tests.client.proxy import Wire

LEAST = 5_000
"""Bytes that a push or pull says besides, at least."""
LESS = 4_000
"""Bytes by which two clones of the same may differ."""


def travel(
    wire: Wire,
    ours: ModelRepository,
    theirs: ModelRepository,
    models: Iterable[dict[str, Any]],
    folder: Path,
    chance: random.Random,
    besides: int = LEAST,
) -> int:
    """Save, push and pull one model after the other, and cut each journey; how many cuts there were.

    ``besides``: bytes that pass the wire on a journey, beside what is saved, or (below zero) that pass by it.
    """
    cuts = 0
    for model in models:
        before = size_of(ours)
        save(ours, folder, model)
        grown = max(0, size_of(ours) - before)
        for journey in (ours.push, theirs.pull):
            wire.reset(chance.randrange(grown + besides))
            assert journey().branches == ("main",)
            cuts += wire.cuts
    wire.reset()
    return cuts


def clone(
    wire: Wire, url: str, ours: ModelRepository, folder: Path, chance: random.Random, number: int
) -> None:
    """Clone so often, and cut each; every other clone is made by somebody who never saw the repository."""
    known = Path(os.environ["XDG_CACHE_HOME"])
    for _ in range(2):  # what it takes for whoever knows the list of packs already is the least
        wire.reset()
        ModelRepository.clone(url, folder / "whole").close()
        shutil.rmtree(folder / "whole")
    least = wire.total - LESS
    for count in range(number):
        if count % 2:
            shutil.rmtree(known)
        wire.reset(chance.randrange(least))
        place = folder / f"copy{count}"
        with ModelRepository.clone(url, place) as copy:
            assert wire.cuts == 1
            assert names(copy) == names(ours)
            assert count % 8 or copy.verify().clean
        shutil.rmtree(place)
    wire.reset()


def check(url: str, ours: ModelRepository, theirs: ModelRepository, folder: Path) -> None:
    """Everything arrived everywhere."""
    newest = names(ours)[-1]
    with ModelRepository(url) as far:
        assert names(far) == names(ours) == names(theirs)
        expected = content(ours, newest, folder / "own")
        assert content(far, newest, folder / "out") == content(theirs, newest, folder / "out2") == expected
        assert far.verify().clean
    assert theirs.verify().clean
