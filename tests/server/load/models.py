"""Models that a number says all about: whoever knows it knows every byte."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save

LAYERS, SIZE, CHANGED = 4, 8192, 64
"""Four layers of 32 KiB; a version has some numbers of its own in each."""


def model(repository: str, seed: int) -> bytes:
    """The file of version ``seed``: a safetensors file of 130 KB, the base of ``repository`` with a fine-tune."""
    base = np.random.default_rng(sum(repository.encode()))
    own = np.random.default_rng(seed)
    layers = {}
    for number in range(LAYERS):
        layer = base.standard_normal(SIZE, dtype=np.float32)
        layer[own.integers(0, SIZE, CHANGED)] += np.float32(0.01)
        layers[f"layer{number}"] = layer
    return bytes(save(layers))
