"""Merges that die in the middle, and merges at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from lepton_ai.repository import ModelRepository

ROOT = Path(__file__).parent.parent.parent
W = {
    name: np.random.default_rng(n).normal(size=(600, 700)).astype(np.float32) for n, name in enumerate("abc")
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """main, and two branches that changed b and one other tensor each."""
    with ModelRepository(tmp_path / "repository", encrypt=False) as repository:
        for branch, changes in (
            ("main", {}),
            ("one", {"a": 1, "b": 1}),
            ("two", {"c": 2, "b": 2}),
            ("main", {"b": 9}),
        ):
            if branch not in {made.name for made in repository.branches()}:
                repository.create_branch(branch)
            file = tmp_path / "model.safetensors"
            file.write_bytes(
                save({name: array + np.float32(changes.get(name, 0)) for name, array in W.items()})
            )
            repository.save_files(file, branch)
    return tmp_path / "repository"


def merging(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.durability.merging", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("die", ["computing", "putting together", "saving"])
def test_a_merge_that_dies_leaves_nothing(folder: Path, die: str) -> None:
    process = merging(folder, "one", "main", die)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 9, said
    for left in folder.glob(".lepton/tmp/staging-*"):
        os.utime(left, (0, 0))  # it has been there for long
    with ModelRepository(folder, create=False) as repository:
        assert [info.name for info in repository.list_versions("main")] == ["v1", "v2"]
        merged = repository.merge_branch("one", method="linear")
        assert merged is not None
        assert repository.verify().clean
        assert list(folder.glob(".lepton/tmp/staging-*")) == []
        np.testing.assert_allclose(merged.tensor("b"), W["b"] + 5, rtol=1e-4, atol=1e-5)


def test_two_merges_at_once(folder: Path) -> None:
    """Into one branch: both are in it at the end, one upon the other."""
    processes = [merging(folder, source, "main") for source in ("one", "two")]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    with ModelRepository(folder, create=False) as repository:
        assert [info.name for info in repository.list_versions("main")] == ["v1", "v2", "v3", "v4"]
        last = repository.version("main@v4")
        assert (last.tensor("a") == W["a"] + np.float32(1)).all()
        assert (last.tensor("c") == W["c"] + np.float32(2)).all()
        assert repository.merge_branch("one") is None
        assert repository.merge_branch("two") is None
        assert repository.verify().clean
