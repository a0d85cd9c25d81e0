"""Descriptions of tensors that do not fit their bytes: other shapes, types, encodings and arguments."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from lepton_ai.formats.contract import Tensor
from lepton_ai.formats.encodings import DECODERS
from lepton_ai.formats.encodings.dtypes import ML_DTYPES, NUMPY
from lepton_ai.testing.mutations import mutate as blind
from lepton_ai.testing.structure.numbers import hostile, rounds

TYPES = (*sorted(NUMPY | ML_DTYPES), "gguf.Q4_K", "torch.complex32", "float128", "object", "")
NUMBERS = ("tag", "itemsize", "size", "start", "length")
LISTS = ("strides", "chunk", "numbers", "skipped")
WORDS = {
    "byteorder": ("little", "big", "other"),
    "order": ("C", "F"),
    "packed": (True, False),
    "separator": (",", ";", ""),
    "encoding": (*DECODERS, "none"),
    "fill": ("", "00", "0000803f", "zz", "0"),
    "filters": (
        [["shuffle", 4]],
        [["deflate", 1]],
        [["fletcher32"]],
        [["lzf"]],
        [["shuffle", 0], ["deflate", 9]],
        [],
    ),
    "args": ({}, {"strides": [1]}, {"byteorder": "big"}, {"packed": True}),
}


def twist(tensor: Tensor, parts: Sequence[bytes], rng: random.Random) -> tuple[Tensor, list[bytes]]:
    """A tensor and the bytes of its extents with some of what is said of them changed, each to a thing of its kind."""
    pieces = list(parts)
    for _ in rounds(rng):
        how = rng.randrange(6)
        if how == 0:
            tensor = msgspec.structs.replace(tensor, dtype=rng.choice(TYPES))
        elif how == 1:
            tensor = msgspec.structs.replace(tensor, shape=_shape(tensor.shape, rng))
        elif how == 2:
            tensor = msgspec.structs.replace(tensor, encoding=rng.choice((*DECODERS, "none")))
        elif how == 3 and pieces:
            place = rng.randrange(len(pieces))
            pieces[place] = rng.choice((b"", pieces[place][:-1], blind(pieces[place], rng)[:100_000]))
        elif how == 4:
            pieces = rng.choice((pieces[1:], pieces * 2, pieces[::-1], [b"".join(pieces)]))
        else:
            tensor = msgspec.structs.replace(tensor, args=_args(tensor.args, rng))
    return tensor, pieces


def _shape(shape: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    if shape and rng.random() < 0.6:
        place = rng.randrange(len(shape))
        return (*shape[:place], hostile(rng, shape[place]), *shape[place + 1 :])
    return rng.choice(
        ((), (0,), shape[::-1], (*shape, 1), shape[1:], (1,) * 65, (0, 1 << 62), (1 << 31, 1 << 31))
    )


def _args(args: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    key = rng.choice((*args, *args, *NUMBERS, *LISTS, *WORDS))
    result = {name: value for name, value in args.items() if name != key or rng.random() < 0.8}
    if key in WORDS:
        result[key] = rng.choice(WORDS[key])
    elif key in NUMBERS:
        result[key] = hostile(rng, args.get(key, 4))
    else:
        old = [number for number in args.get(key, [1, 1]) if type(number) is int]
        result[key] = rng.choice((old[1:], old * 2, [hostile(rng, number) for number in old], [0] * len(old)))
    return result
