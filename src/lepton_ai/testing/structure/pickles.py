"""Pickles: opcodes lost, doubled, moved and foreign, lengths and places of the memo that lie, values in themselves."""

from __future__ import annotations

import pickletools
import random
import struct
from collections.abc import Callable

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, hostile_text, rounds

WIDTHS = {
    **dict.fromkeys(b"K\x8aU\x8cCqh\x80", 1),
    **dict.fromkeys(b"M", 2),
    **dict.fromkeys(b"J\x8bXTBrj", 4),
    **dict.fromkeys(b"\x8d\x8e\x96\x95", 8),
}
"""Opcode → bytes of the number (a value, a length or a place of the memo) that stands behind it."""

FOREIGN = (
    *(
        b"(",
        b")",
        b"]",
        b"}",
        b"\x8f",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
    ),
    *(
        b"\x85",
        b"\x86",
        b"\x87",
        b"R",
        b"b",
        b"Q",
        b"\x81",
        b"\x92",
        b"\x93",
        b"\x94",
        b"\x90",
        b"\x91",
        b".",
        b"\xff",
    ),
    *(
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
    ),
    *(
        b"c\n\n",
        b"c\xff\n\xff\n",
        b"i__main__\nX\n",
        b"P7\n",
        b"I7\n",
        b"L7L\n",
        b"F1\n",
        b"Sx\n",
        b"Vx\n",
        b"g0\n",
    ),
    *(
        b"\x82\x01",
        b"\x97",
        b"\x98",
        b"G" + b"\x7f" * 8,
        b"h\x00",
        b"j\0\0\0\0",
        b"q\x00",
        b"r\xff\xff\xff\x7f",
    ),
    *(
        b"\x8b\xff\xff\xff\x7f",
        b"\x8d" + b"\xff" * 8,
        b"B\xff\xff\xff\xff",
        b"\x8a\x10" + b"\xff" * 15 + b"\x7f",
    ),
    *(
        b"\x8a\xff" + b"\x7f" * 255,
        b"]q\x00h\x00a",
        b"]\x94h\x00a",
        b"}q\x00h\x00h\x00s",
        b"J\xff\xff\xff\xff",
    ),
)
"""Harmless, unknown and evil opcodes: imports of what runs code, lists and dicts within themselves, lengths beyond."""

REPEATED = (
    b"(",
    b"]",
    b"}",
    b")",
    b"N",
    b"2",
    b"\x94",
    b"0",
    b"]a",
    b"\x85",
    b"c\n\n",
    b"(t",
    b"\x8c\x00",
    b"]\x94h\x00a",
)


def split(data: bytes) -> list[bytes]:
    """The opcodes with their arguments.

    Raises:
        NotStructured: it is no pickle.
    """
    try:
        starts = [place for _, _, place in pickletools.genops(data) if place is not None]
    except (ValueError, IndexError, UnicodeError, struct.error) as error:
        raise NotStructured from error
    return [data[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]


def _foreign(steps: list[bytes], rng: random.Random) -> None:
    steps.insert(rng.randrange(len(steps) + 1), rng.choice(FOREIGN))


def _remove(steps: list[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(steps))
    del steps[start : start + rng.choice((1, 1, 2, 9))]


def _repeat(steps: list[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(steps))
    part = steps[start : start + rng.choice((1, 1, 4, 30))]
    steps[start:start] = part * min(rng.choice((1, 1, 2, 100)), 1 + 100_000 // sum(map(len, part)))


def _many(steps: list[bytes], rng: random.Random) -> None:
    steps.insert(rng.randrange(len(steps)), rng.choice(REPEATED) * rng.choice((2, 70, 1000, 30_000)))


def _swap(steps: list[bytes], rng: random.Random) -> None:
    a, b = rng.randrange(len(steps)), rng.randrange(len(steps))
    steps[a], steps[b] = steps[b], steps[a]


def _number(steps: list[bytes], rng: random.Random) -> None:
    """Another value, length or place of the memo; the bytes that a length speaks of stay as they are."""
    index = _one_of(steps, rng, lambda step: step[0] in WIDTHS)
    step, width = steps[index], WIDTHS.get(steps[index][0], 0)
    old = int.from_bytes(step[1 : 1 + width], "little")
    steps[index] = (
        step[:1] + fit(hostile(rng, old, len(steps)), width).to_bytes(width, "little") + step[1 + width :]
    )


def _wide(steps: list[bytes], rng: random.Random) -> None:
    """A number of up to 255 bytes where a small one stood: sizes, strides, offsets of tensors."""
    index = _one_of(steps, rng, lambda step: step[0] in b"KMJ\x8a")
    value = hostile(rng, 4) * rng.choice((1, 1, 1 << 64, 1 << 100, 1 << 1000))
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    steps[index] = b"\x8a" + bytes((len(data),)) + data


def _word(steps: list[bytes], rng: random.Random) -> None:
    index = _one_of(steps, rng, lambda step: step[0] in b"X\x8c")
    others = [step[5:].decode("utf-8", "replace") for step in steps if step[:1] == b"X"]
    data = hostile_text(rng, others).encode("utf-8", "surrogatepass")
    steps[index] = b"X" + len(data).to_bytes(4, "little") + data


def _one_of(steps: list[bytes], rng: random.Random, fits: Callable[[bytes], bool]) -> int:
    found = [index for index, step in enumerate(steps) if step and fits(step)]
    return rng.choice(found) if found else rng.randrange(len(steps))


EDITS = (_foreign, _foreign, _remove, _repeat, _many, _swap, _number, _number, _wide, _wide, _word)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A pickle with other opcodes."""
    steps = split(data)
    for _ in rounds(rng):
        if steps:
            rng.choice(EDITS)(steps, rng)
    return b"".join(steps)
