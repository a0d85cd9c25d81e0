"""Mutations that know how a format is built, so that their lies get past a reader's first check.

One file for each kind of container. Each takes a file's bytes and a generator of random numbers, changes what the
container says (lengths, offsets, counts, types, names, nesting) and mends what stands around it, or not.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from lepton_ai.testing.mutations import mutate as blind
from lepton_ai.testing.structure import (
    gguf,
    hdf5,
    json_values,
    lines,
    npy,
    protobuf,
    safetensors,
    tables,
    ubjson,
    zips,
)
from lepton_ai.testing.structure.contract import Mutator, NotStructured

ONLY_BLIND, ALSO_BLIND = 0.1, 0.1


def _xgboost(data: bytes, rng: random.Random) -> bytes:
    """A JSON object begins with a text, a UBJSON object with the length of one."""
    structured = json_values.mutate if data[1:].lstrip()[:1] in {b'"', b"}"} else ubjson.mutate
    return structured(data, rng)


STRUCTURES: dict[str, Mutator] = {
    "gguf": gguf.mutate,
    "hdf5": hdf5.mutate,
    "keras": zips.mutate,
    "lightgbm": lines.mutate,
    "npy": npy.mutate,
    "npz": zips.mutate,
    "onnx": protobuf.mutate,
    "pt": zips.mutate,
    "safetensors": safetensors.mutate,
    "savedmodel": tables.mutate,
    "skops": zips.mutate,
    "xgboost": _xgboost,
}
"""Name of a format → what takes its files apart. Formats that are not here are mutated blindly."""


def mutate_file(format_: str, data: bytes, rng: random.Random) -> bytes:
    """A lie of the format's own kind, sometimes with blind damage on top, sometimes only that."""
    structured = STRUCTURES.get(format_)
    if structured is None or rng.random() < ONLY_BLIND:
        return blind(data, rng)
    try:
        result = structured(data, rng)
    except NotStructured:
        return blind(data, rng)
    return blind(result, rng) if rng.random() < ALSO_BLIND else result


def mutate_folder(
    format_: str, files: Mapping[str, bytes], main: str, rng: random.Random
) -> dict[str, bytes]:
    """The files with ``main`` mutated, and now and then a neighbour cut, emptied or gone."""
    result = dict(files)
    beside = sorted(path for path in files if path != main)
    if beside and rng.random() < 0.1:
        path = rng.choice(beside)
        if rng.random() < 0.3:
            del result[path]
        else:
            result[path] = files[path][
                : rng.choice((0, 1, len(files[path]) // 2, max(0, len(files[path]) - 1)))
            ]
    if rng.random() < 0.95 or len(result) < len(files):
        result[main] = mutate_file(format_, files[main], rng)
    return result
