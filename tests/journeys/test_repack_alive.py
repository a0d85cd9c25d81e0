"""A long repack says that it lives, so that nobody takes its turn for a dead one's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.history import leases
from lepton_ai.history.turns import Turn
from lepton_ai.repository import ModelRepository


def test_a_long_repack_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", -1.0)
    told: list[int] = []
    monkeypatch.setattr(Turn, "still", lambda _: told.append(1))
    with ModelRepository(tmp_path / "repository", encrypt=False, author="anna") as repo:
        file = tmp_path / "weights.npy"
        for step in range(3):
            np.save(file, np.random.default_rng(1).normal(size=200_000) + step)
            repo.save_files(file)
        repo.repack(max_chain=1, dry_run=True)
        assert told == []
        repo.repack(max_chain=1)
    assert len(told) > 2  # so many come with the deletion of packs
