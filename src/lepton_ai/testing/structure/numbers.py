"""Numbers and texts that break careless readers."""

from __future__ import annotations

import random

from lepton_ai.testing.mutations import INTERESTING

TEXTS = (
    *(
        "",
        "\0",
        "a\0b",
        "..",
        "../../x",
        "/x",
        "a/b",
        ".",
        "a\nb",
        "\x1b[2J",
        "\x7f",
        "名",
        "\ud800",
        "\U0001f600",
    ),
    *("x" * 255, "x" * 4096, "x" * 4097, "x" * 70_000, "é" * 3000),
)
"""Names that nobody has: empty, ways out of a folder, controls of terminals, no Unicode, too long."""


def hostile(rng: random.Random, value: int = 0, size: int = 0) -> int:
    """A number in place of ``value``: a neighbour, a multiple, about ``size``, or an extreme one. May be negative."""
    where = rng.random()
    if where < 0.35:
        return value + rng.choice((-9, -8, -2, -1, 1, 2, 8, 9))
    if where < 0.5:
        return rng.choice((value * 2, value * 256, value // 2, -value, value ^ 1 << rng.randrange(64)))
    if where < 0.6:
        return size + rng.randrange(-9, 10)
    return rng.choice(INTERESTING)


def fit(value: int, width: int) -> int:
    """The lowest ``width`` bytes of a number, as an unsigned one."""
    return value % (1 << (8 * width))


def hostile_text(rng: random.Random, others: list[str] | None = None) -> str:
    """A text that is no name, or another's name."""
    return rng.choice(others) if others and rng.random() < 0.4 else rng.choice(TEXTS)


def rounds(rng: random.Random) -> range:
    """How many changes to make: mostly one, for two often hide each other."""
    return range(rng.choice((1, 1, 1, 2, 2, 3, 5)))
