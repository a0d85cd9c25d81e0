"""Repositories in several places, for the tests of what travels between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from lepton_ai import ModelRepository, Version
from tests.client.conftest import Server
from tests.client.proxy import Wire

LAYERS, SIZE = 4, 1 << 17


def weights(seed: int = 0) -> dict[str, Any]:
    """A small model: four layers of 512 KiB, which chance alone cannot make smaller."""
    chance = np.random.default_rng(seed)
    return {f"layer{n}": chance.standard_normal(SIZE, dtype=np.float32) * 0.02 for n in range(LAYERS)}


def tuned(model: dict[str, Any], seed: int) -> dict[str, Any]:
    """The model after a fine-tune: a thousandth of the numbers of every layer is another one."""
    chance = np.random.default_rng(seed)
    result = {}
    for name, layer in model.items():
        changed = layer.copy()
        changed[chance.integers(0, SIZE, SIZE // 1000)] += np.float32(0.001)
        result[name] = changed
    return result


def save(
    repo: ModelRepository, folder: Path, model: dict[str, Any], branch: str | None = None, **more: Any
) -> Version:
    """Save a model as the next version."""
    folder.mkdir(exist_ok=True)
    file = folder / "model.safetensors"
    save_file(model, file)
    return repo.save_files([file], branch, **more)


def content(repo: ModelRepository, address: str, folder: Path) -> bytes:
    """The bytes of a version's model."""
    repo.checkout(repo.version(address), folder, force=True)
    return (folder / "model.safetensors").read_bytes()


def names(repo: ModelRepository, branch: str = "main") -> list[str]:
    """The names on a branch's line, oldest first."""
    return [info.name for info in repo.list_versions(branch)]


def size_of(repo: ModelRepository) -> int:
    """Bytes of all packs."""
    return sum(pack.size for pack in repo.home.store.packs())


def place(wire: Wire | Server, tmp_path: Path) -> str:
    """The address of the test's repository, over the wire or straight."""
    return f"{wire.address}/ana/{tmp_path.name.replace('_', '-')}"


def begun(wire: Wire, tmp_path: Path) -> ModelRepository:
    """A repository with v1, pushed."""
    repo = ModelRepository(tmp_path / "ours", author="ana")
    repo.add_remote("origin", place(wire, tmp_path))
    save(repo, tmp_path / "in", weights())
    repo.push()
    return repo
