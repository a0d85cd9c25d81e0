"""Repositories with branches of small models, for merging."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository

Arrays = Mapping[str, np.ndarray[Any, Any]]


class Models:
    """A repository of one safetensors file, whose versions are given as arrays."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.repo = ModelRepository(folder / "repository", encrypt=False, author="anna", **more)

    def save(self, arrays: Arrays, branch: str = "main", **carried: Any) -> Version:
        """The next version of a branch; it is made from main's newest when there is none."""
        if branch not in {one.name for one in self.repo.branches()}:
            self.repo.create_branch(branch)
        file = self.folder / "model.safetensors"
        file.write_bytes(save(dict(arrays)))
        return self.repo.save_files(file, branch, **carried)

    def parted(self, base: Arrays, ours: Arrays, theirs: Arrays) -> None:
        """main and side went different ways from ``base``."""
        self.save(base)
        self.repo.create_branch("side")
        self.save(ours)
        self.save(theirs, "side")

    def merge(self, source: str = "side", into: str = "main", **asked: Any) -> Version:
        """A merge that makes a version."""
        version = self.repo.merge_branch(source, into, **asked)
        assert version is not None
        return version


def arrays_of(version: Version) -> dict[str, np.ndarray[Any, Any]]:
    """All tensors of a version."""
    return {tensor.name: version.tensor(tensor.name) for tensor in version.tensors()}


def same(one: Arrays, other: Arrays) -> bool:
    """Whether both have the same tensors, bit for bit."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )
