"""Give the decoders of tiles payloads that nobody wrote, and hold the compiled one against the other.

A case is a payload with lies in it, made from a seed and a number: the same two give the same bytes again. The
kernel must refuse it or fill its bytes, and nothing beside them; its narrow loops and tiles_slowly must do exactly the
same.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs import tiles_slowly
from lepton_ai.store.codecs.elements import ELEMENTS
from lepton_ai.store.codecs.native import Kernel
from lepton_ai.store.codecs.tiles import shape
from lepton_ai.store.codecs.tiles_head import HEAD

SIZES = (1, 5, 127, 128, 300, 1100, 8192 + 77)
"""Numbers of a sample; from 8,192 on there are 32 states."""

GUARD = 64
"""Bytes behind the decoder's room that must stay as they are."""

_FIELDS = ((0, "B"), (1, "B"), (2, "B"), (3, "B"), (4, "h"), (6, "H"), (8, "I"), (12, "I"), (16, "I"))
_VALUES = (0, 1, 2, 3, 7, 10, 15, 16, 17, 23, 52, 127, 255)


class Payload(NamedTuple):
    """Something that the kernel wrote, or a lie made of it."""

    data: bytes
    base: bytes | None
    numbers: int
    width: int


def samples(kernels: Sequence[Kernel]) -> list[Payload]:
    """Payloads for every shape of numbers, with and without a base, of several sizes and contents.

    Raises:
        AssertionError: the kernels do not write the same.
    """
    found = []
    for width, mantissa, exponent in sorted({shape(element) for element in ELEMENTS.values()}):
        for size in SIZES:
            for content, (plain, base) in enumerate(_contents(width, mantissa, exponent, size)):
                for given in (base, None) if exponent and not content else (base,):
                    data, *others = [k.encode(plain, given, size, width, mantissa, exponent) for k in kernels]
                    if any(other != data for other in others):
                        raise AssertionError(f"the kernels write {size} numbers of {width} bytes differently")
                    if data is not None:
                        found.append(Payload(data, given, size, width))
    return found


def _contents(width: int, mantissa: int, exponent: int, size: int) -> list[tuple[bytes, bytes]]:
    """Pairs of plain bytes and their base: moved a little, moved in proportion, moved here and there by anything."""
    rng = np.random.default_rng([width, mantissa, size])
    word = np.dtype(f"<u{width}")
    top = (1 << (8 * width - 1)) - 1
    middle = ((1 << exponent - 1) - 4 << mantissa) if exponent else 0
    spread = min(3 << mantissa, top >> 1) if exponent else min(top, 1000)
    old = (middle + rng.integers(0, spread, size)).astype(word)
    old ^= rng.integers(0, 2, size).astype(word) << word.type(8 * width - 1)
    moved = old + rng.integers(-9, 9, size).astype(word)
    drop = rng.integers(40, 80, size)
    decayed = (old - drop.astype(word)) if mantissa >= 7 else old + word.type(1)
    jumps = old.copy()
    jumps[:: max(2, size // 20)] = rng.integers(0, top, len(jumps[:: max(2, size // 20)])).astype(word)
    return [(new.tobytes(), old.tobytes()) for new in (moved, decayed, jumps)]


def lie(payloads: Sequence[Payload], seed: int, number: int) -> Payload:
    """A case: one to three changes to one of the payloads, most of them behind its head."""
    rng = random.Random(f"{seed}-{number}")
    sample = payloads[rng.randrange(len(payloads))]
    for _ in range(rng.choice((1, 1, 2, 3))):
        sample = _changed(sample, payloads, rng)
    return sample


def _changed(sample: Payload, payloads: Sequence[Payload], rng: random.Random) -> Payload:
    what = rng.randrange(8)
    if what == 0:
        return _misread(sample, rng)
    data = bytearray(sample.data)
    if what == 1:
        _lengths(data, rng)
    elif what == 2:
        at, code = rng.choice(_FIELDS)
        _put(data, at, code, rng.choice((*_VALUES, rng.getrandbits(32))))
    elif what == 3:
        other = payloads[rng.randrange(len(payloads))].data
        data[rng.randrange(HEAD, len(data)) :] = other[rng.randrange(len(other)) :]
    else:
        _spoil(data, rng)
    return sample._replace(data=bytes(data)) if len(data) > HEAD else sample


def _spoil(data: bytearray, rng: random.Random) -> None:
    """Other bits, bytes or runs behind the head, or another end."""
    place = rng.randrange(HEAD, len(data))
    match rng.choice(("bit", "bit", "byte", "run", "end")):
        case "bit":
            data[place] ^= 1 << rng.randrange(8)
        case "byte":
            data[place] = rng.choice((0, 255, rng.randrange(256)))
        case "run":
            data[place : place + 16] = bytes([rng.choice((0, 255))]) * len(data[place : place + 16])
        case _:
            data[place:] = rng.randbytes(rng.choice((0, 2, len(data) - place, 40)))


def _lengths(data: bytearray, rng: random.Random) -> None:
    """Bytes move from one part to another, so that the sum still fits."""
    raw, table, words = struct.unpack_from("<III", data, 8)
    by = rng.choice((-4, -2, 2, 4, 30)) * rng.choice((1, 1, 8))
    parts = rng.choice(((raw + by, table - by, words), (raw - by, table, words + by // 2),
                        (raw, table + by, words - by // 2)))  # fmt: skip
    for at, length in zip((8, 12, 16), parts, strict=True):
        _put(data, at, "I", length)


def _misread(sample: Payload, rng: random.Random) -> Payload:
    """The same payload, taken for one of another number of numbers, or with a base that it has not."""
    numbers = max(1, sample.numbers + rng.choice((-128, -1, 1, 128, 8192)))
    length = numbers * sample.width
    base = rng.choice((None, rng.randbytes(length)))
    return sample._replace(numbers=numbers, base=base)


def _put(data: bytearray, at: int, code: str, value: int) -> None:
    size = struct.calcsize(code)
    data[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def examine(kernels: Sequence[Kernel], case: Payload, *, slowly: bool) -> bool:
    """Whether the first kernel took the case for a payload, and the others alike; ``slowly``: tiles_slowly as well.

    Raises:
        AssertionError: a kernel wrote where it must not, or two of them differ.
    """
    length = case.numbers * case.width
    said = [_said(kernel, case, length) for kernel in kernels]
    if slowly:
        again = bytearray(length)
        try:
            tiles_slowly.decode(case.data, case.base, case.numbers, case.width, again)
        except Damaged:
            said.append(None)
        else:
            said.append(again)
    if any(other != said[0] for other in said):
        taken = [other is not None for other in said]
        raise AssertionError(f"the kernels say {taken} (the last: tiles_slowly), or other bytes")
    return said[0] is not None


def _said(kernel: Kernel, case: Payload, length: int) -> bytearray | None:
    room = bytearray(length) + bytearray(b"\xa5" * GUARD)
    taken = kernel.decode(case.data, case.base, case.numbers, case.width, room)
    if room[length:] != b"\xa5" * GUARD:
        raise AssertionError("the kernel wrote beyond its room")
    return room[:length] if taken else None
