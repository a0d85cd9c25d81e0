"""Every series: how many versions, from which recipe, written how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from series import cnn, files, gpt, minilm, policy

Weights = dict[str, torch.Tensor]
Recipe = Callable[[Path, int], Iterator[Weights]]
"""(the folder of all series, a seed) → the weights of v1, v2 …"""


@dataclass(frozen=True)
class Series:
    """Versions of one model."""

    count: int
    recipe: Recipe
    needs: str | None = None
    """Another series that must be there first."""
    suffix: str = "safetensors"
    parents: tuple[int, ...] = ()
    """Of v2, v3 …; empty: each one's parent is the version before it."""

    def parent(self, number: int) -> int:
        """The number of version ``number``'s parent, 0 for the first."""
        return self.parents[number - 2] if self.parents and number > 1 else number - 1


def _stored(name: str, root: Path, _seed: int, *, dtype: torch.dtype | None = None) -> Iterator[Weights]:
    """The weights of the series that is there already, its floats as ``dtype``."""
    count = SERIES[name].count
    for number in range(1, count + 1):
        weights = files.read(root / name / f"v{number}.safetensors")
        yield {key: t.to(dtype) if dtype and t.is_floating_point() else t for key, t in weights.items()}


def _minilm(count: int, layers: int | None, dtype: torch.dtype, _root: Path, seed: int) -> Iterator[Weights]:
    return minilm.versions(count, seed, layers=layers, dtype=dtype)


def _same_as(suffix: str) -> Series:
    return Series(6, partial(_stored, "minilm-fp32"), needs="minilm-fp32", suffix=suffix)


SERIES: dict[str, Series] = {
    "minilm-fp32": Series(6, partial(_minilm, 6, None, torch.float32)),
    "minilm-bf16": Series(6, partial(_minilm, 6, None, torch.bfloat16)),
    "minilm-bf16-cast": Series(6, partial(_stored, "minilm-fp32", dtype=torch.bfloat16), needs="minilm-fp32"),
    "minilm-2layers": Series(4, partial(_minilm, 4, 2, torch.float32)),
    "gpt-1gb-bf16": Series(3, lambda _root, seed: gpt.large(3, seed)),
    "gpt-small": Series(6, lambda _root, seed: gpt.small(6, seed)),
    "cnn": Series(6, lambda _root, seed: cnn.versions(6, seed)),
    "rl-bf16": Series(5, lambda _root, seed: policy.versions(5, seed)),
    "branches": Series(7, lambda _root, seed: gpt.branches(3, seed), parents=(1, 2, 3, 1, 5, 6)),
    "minilm-pt": _same_as("pt"),
    "minilm-h5": _same_as("h5"),
    "minilm-onnx": _same_as("onnx"),
}
