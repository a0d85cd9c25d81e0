"""Damage that files take, and lies that files tell: structure-blind and number-aware mutations of bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

INTERESTING = (
    *(0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 4095, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
)


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _number(data: bytearray, rng: random.Random) -> None:
    """Overwrite 1, 2, 4 or 8 bytes, little- or big-endian, with a number that breaks careless arithmetic."""
    width, code = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    if len(data) < width:
        return
    value = rng.choice(INTERESTING) if rng.random() < 0.7 else len(data) + rng.randrange(-16, 17)
    struct.pack_into(rng.choice("<>") + code, data, _place(data, rng, width), value % (1 << (8 * width)))


def _digits(data: bytearray, rng: random.Random) -> None:
    """Change a decimal digit: the numbers of JSON headers."""
    digits = [i for i in range(min(len(data), 65536)) if 48 <= data[i] <= 57]
    if digits:
        data[rng.choice(digits)] = 48 + rng.randrange(10)


def _remove(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng, 1)
    del data[start : start + rng.choice((1, 4, 8, 64, 512))]


def _insert(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng, 1)
    data[start:start] = rng.randbytes(rng.choice((1, 4, 8, 64)))


def _repeat(data: bytearray, rng: random.Random) -> None:
    """Copy a run elsewhere: overlaps and double names."""
    length = rng.choice((8, 32, 128, 1024))
    source, target = _place(data, rng, 1), _place(data, rng, 1)
    data[target : target + length] = data[source : source + length]


def _nest(data: bytearray, rng: random.Random) -> None:
    """Insert deep nesting of brackets, as JSON and pickles know it."""
    start = _place(data, rng, 1)
    data[start:start] = rng.choice((b"[", b"{", b"(", b'{"a":')) * rng.choice((10, 1000, 100_000))


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _truncate, _number, _number, _number, _digits, _remove, _insert, _repeat, _nest,
)  # fmt: skip


def _place(data: bytearray, rng: random.Random, width: int) -> int:
    """A place for the damage: often in the first or last 4 KiB, where headers and directories sit."""
    last = max(0, len(data) - width)
    where = rng.random()
    if where < 0.4:
        return rng.randint(0, min(last, 4096))
    if where < 0.7:
        return rng.randint(max(0, last - 4096), last)
    return rng.randint(0, last)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A damaged copy of ``data``: one to three mutations."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not result:
            break
        rng.choice(MUTATIONS)(result, rng)
    return bytes(result)
