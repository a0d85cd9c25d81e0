"""Loading straight from the store, and when it is not done so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lepton_ai import ModelRepository, errors

TYPES = [
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float64,
    torch.int8,
    torch.int64,
    torch.bool,
    torch.uint8,
]


def _tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {
        f"{number}.{dtype}": (torch.randn(37, 53, generator=generator) * 9).to(dtype)
        for number, dtype in enumerate(TYPES)
    }
    return {
        **made,
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "one": torch.ones(1, dtype=torch.uint8),
    }


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    """A repository that must not stage anything."""
    repo = ModelRepository(tmp_path / "repo")
    monkeypatch.setattr(repo.home, "staged", lambda: pytest.fail("it was written to a file"))
    return repo


def test_safetensors_are_loaded_without_a_file(repo: ModelRepository, tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "model.safetensors", metadata={"format": "pt", "tied": "scalar"})
    (tmp_path / "config.json").write_text("{}")
    repo.save_files([tmp_path / "model.safetensors", tmp_path / "config.json"], repo.branch("main"))
    loaded = repo.load_model("v1", "main")
    assert loaded.keys() == {*_tensors(), "tied"}
    assert loaded["tied"] is loaded["scalar"]
    for name, tensor in _tensors().items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert torch.equal(loaded[name], tensor)
        loaded[name].zero_()  # it is the caller's own


def test_older_versions_are_loaded_as_well(repo: ModelRepository, tmp_path: Path) -> None:
    states = [_tensors()]
    for _ in range(4):
        states.append({k: t + 1e-4 if t.is_floating_point() else t for k, t in states[-1].items()})
    for state in states:
        save_file(state, tmp_path / "model.safetensors")
        repo.save_files([tmp_path / "model.safetensors"], repo.branch("main"))
    for number, state in enumerate(states, 1):
        loaded = repo.load_model(f"v{number}", "main")
        assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_lying_file_is_told_plainly(tmp_path: Path) -> None:
    repo = ModelRepository(tmp_path / "repo")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    repo.save_files([tmp_path / "model.safetensors"], repo.branch("main"))
    with pytest.raises(errors.LeptonError):
        repo.load_model("v1", "main")
