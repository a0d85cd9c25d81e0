"""LightGBM's text: lines lost, doubled, moved and lengthened, numbers that are none, trees with another's number."""

from __future__ import annotations

import random
from collections.abc import Callable

from lepton_ai.testing.structure.numbers import hostile, rounds

NUMBERS = (
    *(b"nan", b"inf", b"-inf", b"1e999", b"-0", b"1e-400", b"0x10", b"1_000", b"--1", b"1.5", b"e", b"."),
    *(
        b"9" * 20,
        b"9" * 64,
        b"9" * 65,
        b"9" * 100_000,
        b"-9223372036854775809",
        b"2147483648",
        b"NaNi",
        b"\xd9\xa3",
    ),
)
LINES = (
    *(
        b"Tree=0",
        b"Tree=-1",
        b"Tree=999999999",
        b"Tree=9999999999",
        b"Tree=",
        b"end of trees",
        b"",
        b"leaf_value=",
        b"=",
    ),
    *(
        b"leaf_value= 1  2 ",
        b"leaf_value=1\t2",
        b"threshold=" + b"1 " * 50_000,
        b"x" * 100_000,
        b"leaf_value=" + b" " * 9999,
    ),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A text with other lines."""
    lines = data.split(b"\n")
    for _ in rounds(rng):
        rng.choice(EDITS)(lines, rng)
    return rng.choice((b"\n", b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(lines)


def _number(lines: list[bytes], rng: random.Random) -> None:
    """Another number in a list, or another count of numbers."""
    index = rng.randrange(len(lines))
    key, mark, values = lines[index].partition(b"=")
    numbers = values.split(b" ")
    place = rng.randrange(len(numbers))
    how = rng.randrange(4)
    if how == 0:
        del numbers[place]
    elif how == 1:
        numbers.insert(place, numbers[place] + b" " * rng.randrange(3))
    elif how == 2 and numbers[place].isdigit():
        numbers[place] = str(hostile(rng, int(numbers[place][:30]))).encode()
    else:
        numbers[place] = rng.choice(NUMBERS)
    lines[index] = key + mark + b" ".join(numbers)


def _key(lines: list[bytes], rng: random.Random) -> None:
    """Another line's key: a list of another type, or of the same name twice."""
    index, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    _, mark, values = lines[index].partition(b"=")
    lines[index] = lines[other].partition(b"=")[0] + mark + values


def _line(lines: list[bytes], rng: random.Random) -> None:
    index = rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0 and len(lines) > 1:
        del lines[index]
    elif how == 1:
        part = lines[index : index + rng.choice((1, 15))]
        lines[index:index] = part * min(rng.choice((1, 2, 200)), 1 + 100_000 // (1 + sum(map(len, part))))
    elif how == 2:
        other = rng.randrange(len(lines))
        lines[index], lines[other] = lines[other], lines[index]
    else:
        lines.insert(index, rng.choice(LINES))


def _joint(lines: list[bytes], rng: random.Random) -> None:
    """Break a line, or join two."""
    index = rng.randrange(len(lines))
    if rng.random() < 0.5:
        place = rng.randrange(len(lines[index]) + 1)
        lines[index : index + 1] = [lines[index][:place], lines[index][place:]]
    else:
        lines[index : index + 2] = [b"".join(lines[index : index + 2])]


EDITS: tuple[Callable[[list[bytes], random.Random], None], ...] = (
    _number,
    _number,
    _number,
    _key,
    _line,
    _line,
    _joint,
)
