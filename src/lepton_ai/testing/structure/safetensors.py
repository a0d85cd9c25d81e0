"""safetensors: offsets, shapes and types that contradict each other, under a header length that is right or not."""

from __future__ import annotations

import random
from typing import Any

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.json_values import Pairs, Raw, dump, edit, parse
from lepton_ai.testing.structure.numbers import fit, hostile, rounds

TYPES = ("BOOL", "U8", "I16", "BF16", "F32", "F64", "C64", "F8_E4M3", "F4", "F6_E2M3", "I4", "f32", "")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file with another header, cut or grown data, or a wrong length in front."""
    length = int.from_bytes(data[:8], "little")
    header, body = parse(data[8 : 8 + length]), data[8 + length :]
    if not isinstance(header, Pairs):
        raise NotStructured
    for _ in rounds(rng):
        entry = rng.choice(header)[1] if header else None
        if isinstance(entry, Pairs) and rng.random() < 0.6:
            _lie(entry, header, len(body), rng)
        else:
            header = edit(header, rng)
            if not isinstance(header, Pairs):
                break
    text = dump(header)
    stated = len(text)
    if rng.random() < 0.1:
        stated = fit(hostile(rng, stated, len(data)), 8)
    if rng.random() < 0.1:
        body = body[: rng.randrange(len(body) + 1)] + b"\0" * rng.choice((0, 1, 100))
    return stated.to_bytes(8, "little") + text + body


def _lie(entry: Pairs, header: Pairs, size: int, rng: random.Random) -> None:
    """Change the type, shape or place of one tensor."""
    fields = {key: number for number, (key, _) in enumerate(entry)}
    key = rng.choice(("dtype", "shape", "shape", "data_offsets", "data_offsets"))
    if key not in fields:
        return
    pair = entry[fields[key]]
    if key == "dtype":
        pair[1] = rng.choice(TYPES)
    elif key == "shape":
        pair[1] = _shape(pair[1], rng)
    else:
        pair[1] = _offsets(pair[1], header, size, rng)


def _shape(shape: Any, rng: random.Random) -> Any:
    if not isinstance(shape, list):
        return [1]
    extents = list(shape)
    how = rng.randrange(6)
    if how == 0:
        return extents[::-1]
    if how == 1:
        return [*extents, *[1] * rng.choice((1, 60, 64, 65, 10_000))]
    if how == 2:
        return [0, *[1 << rng.choice((31, 32, 57, 62, 63, 64))] * rng.choice((1, 2, 5)), *extents]
    if how == 3:
        return Raw(rng.choice(("[]", "[[]]", "[1e2]", "null", "[-1,-1]")))
    if extents:
        place = rng.randrange(len(extents))
        extents[place] = hostile(rng, extents[place] if type(extents[place]) is int else 1)
    return extents


def _offsets(offsets: Any, header: Pairs, size: int, rng: random.Random) -> Any:
    """Another tensor's place, a shifted one, a turned one, or nonsense."""
    if not isinstance(offsets, list) or len(offsets) != 2:
        return [0, 0]
    how = rng.randrange(5)
    if how == 0:
        other = rng.choice(header)[1]
        found = [value for key, value in other if key == "data_offsets"] if isinstance(other, Pairs) else []
        return found[0] if found else offsets
    if how == 1 and all(type(offset) is int for offset in offsets):
        shift = rng.choice((-8, -1, 1, 8, 64, size, -size, 1 << 62, 1 << 63))
        return [offset + shift for offset in offsets]
    if how == 2:
        return offsets[::-1]
    result = list(offsets)
    place = rng.randrange(2)
    result[place] = hostile(rng, result[place] if type(result[place]) is int else 0, size)
    return result
