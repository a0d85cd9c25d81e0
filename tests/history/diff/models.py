"""What the tests of differences share: a repository, and model files that differ in a way that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


def save(
    repo: ModelRepository, tensors: dict[str, np.ndarray], name: str = "model", **carried: Any
) -> Version:
    """A version of one safetensors file."""
    file = repo.path.parent / f"{name}.safetensors"
    save_file({key: np.ascontiguousarray(array) for key, array in tensors.items()}, file)
    return repo.save_files(file, **carried)


def layers(seed: int = 0) -> dict[str, np.ndarray]:
    """A small model of three layers."""
    rng = np.random.default_rng(seed)
    return {
        f"layers.{i}.{part}": rng.normal(size=shape).astype(np.float32)
        for i in range(3)
        for part, shape in (("weight", (40, 30)), ("bias", (40,)))
    }
