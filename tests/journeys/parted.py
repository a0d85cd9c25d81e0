"""A model with a config that went different ways on two branches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository

SIZE = 600
START = {name: np.random.default_rng(n).normal(size=SIZE).astype(np.float32) for n, name in enumerate("abcd")}
CONFIG = {"hidden": 8, "labels": {"0": "cat", "1": "dog"}}


class Parted:
    """``main`` and ``feature`` changed ``a`` alone here, ``b`` alone there, both ``c`` and the config; nobody ``d``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = ModelRepository(folder / "repo", author="Anna")
        self.tensors: dict[str, dict[str, Any]] = {}
        self.base = self.save("main", {})
        self.repo.create_branch("feature")
        self.theirs = self.save("feature", {"b": 2.0, "c": 2.0}, hidden=32)
        self.ours = self.save("main", {"a": 1.0, "c": 1.0}, hidden=16)

    def save(self, branch: str, steps: dict[str, float], hidden: int = 8, **carried: Any) -> Version:
        """The next version of a branch: the start with steps added to some tensors, and another config."""
        model = self.folder / f"model-{branch}"
        model.mkdir(exist_ok=True)
        tensors = {name: start + np.float32(steps.get(name, 0)) for name, start in START.items()}
        save_file(tensors, model / "model.safetensors")
        (model / "config.json").write_text(json.dumps(CONFIG | {"hidden": hidden}, indent=2) + "\n")
        version = self.repo.save_files(model, branch, **carried)
        assert isinstance(version, Version)
        self.tensors[version.id] = tensors
        return version

    def config(self, version: Version) -> Any:
        """What its config says."""
        version.checkout(self.folder / "out" / version.id)
        return json.loads((self.folder / "out" / version.id / "config.json").read_text())


def same(one: Any, other: Any) -> bool:
    """Bit for bit."""
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()
