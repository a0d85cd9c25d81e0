"""npy: other types, orders and shapes in the header's text, and lengths and versions that lie."""

from __future__ import annotations

import random

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, rounds

TYPES = (
    *(
        "'<f4'",
        "'>f8'",
        "'|f4'",
        "'|b1'",
        "'|u1'",
        "'<c16'",
        "'<f16'",
        "'|O'",
        "'<U5'",
        "'<M8[s]'",
        "'=i4'",
        "'<b4'",
        "'f4'",
    ),
    *("[('a', '<f4')]", "''", "'<f" + "4" * 5000 + "'", "None", "'|V8'", '"<i2"'),
)
SHAPES = (
    *(
        "()",
        "(0,)",
        "(3, 5)",
        "(1,)",
        "(-1,)",
        "(4611686018427387904, 4)",
        "(9223372036854775807,)",
        "(3L, 5L)",
    ),
    *("(0, 9223372036854775807)", "(" + "1, " * 64 + ")", "(" + "1, " * 65 + ")", "(" + "9" * 5000 + ",)"),
    *("(1e3,)", "(,)", "(1 2)", "((1,),)", "(０１,)", "3", "(" * 900 + ")" * 900, "(0x10,)", "(True,)"),
)
ORDERS = ("True", "False", "1", "None", "'C'")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """An array with another header."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise NotStructured
    version = data[6]
    width = 2 if version == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    text, body = data[8 + width : start].decode("latin-1"), data[start:]
    for _ in rounds(rng):
        text = _edited(text, rng)
    if rng.random() < 0.1:
        version = rng.choice((0, 1, 2, 3, 4, 255))
    width = 2 if version == 1 else 4
    encoded = text.encode("utf-8" if version == 3 else "latin-1", "replace")
    length = len(encoded) if rng.random() < 0.9 else hostile(rng, len(encoded), len(data))
    head = b"\x93NUMPY" + bytes((version, 0)) + fit(length, width).to_bytes(width, "little")
    return head + encoded + body


def _edited(text: str, rng: random.Random) -> str:
    key, values = rng.choice(
        (("descr", TYPES), ("shape", SHAPES), ("shape", SHAPES), ("fortran_order", ORDERS))
    )
    how = rng.random()
    if how < 0.7:
        before, mark, rest = text.partition(f"'{key}': ")
        ends = [place for mark_ in (", '", "}") if (place := rest.find(mark_)) >= 0]
        return before + mark + rng.choice(values) + rest[min(ends, default=0) :]
    if how < 0.8:
        return text.replace("}", f"'{key}': {rng.choice(values)}, " + "}", 1)
    if how < 0.9:
        return text.replace(" ", " " * rng.choice((0, 2, 100, 20_000)), 1)
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(("'", "{", "}", ",", "\0", "\n", "é", "'extra': 1, ")) + text[place:]
