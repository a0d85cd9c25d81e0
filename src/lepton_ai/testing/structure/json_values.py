"""JSON: numbers of a million digits, surrogates, deep and wide nesting, keys said twice, values swapped."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import hostile, hostile_text, rounds

BRACKETS = re.compile(rb"[\[\]{}]")
DEEPEST = 100


class Raw(str):
    """Text that is written as it is, JSON or not."""

    __slots__ = ()


class Pairs(list[Any]):
    """An object as [key, value] pairs: a key may stand there twice."""


def parse(data: bytes) -> Any:
    """A value whose objects are :class:`Pairs`.

    Raises:
        NotStructured: it is no JSON, or nests more deeply than it would be written again.
    """
    if _depth(data) > DEEPEST:
        raise NotStructured
    try:
        return json.loads(data, object_pairs_hook=lambda pairs: Pairs([key, value] for key, value in pairs))
    except ValueError as error:
        raise NotStructured from error


def _depth(data: bytes) -> int:
    """At most so deep; brackets in texts are counted, too."""
    depth = deepest = 0
    for bracket in BRACKETS.findall(data):
        depth += 1 if bracket in {b"[", b"{"} else -1
        deepest = max(deepest, depth)
    return deepest


def dump(value: Any) -> bytes:
    """The text of a value."""
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


Place = tuple[list[Any], int]


def places(value: Any) -> list[Place]:
    """Every value within ``value``, as the list that holds it and its place there."""
    found: list[Place] = []
    waiting: list[list[Any]] = [[value]] if not isinstance(value, list) else [value]
    while waiting:
        for place in _inside(waiting.pop()):
            found.append(place)
            child = place[0][place[1]]
            if isinstance(child, list):
                waiting.append(child)
    return found


def _inside(value: list[Any]) -> Iterator[Place]:
    if isinstance(value, Pairs):
        yield from ((pair, 1) for pair in value)
    else:
        yield from ((value, index) for index in range(len(value)))


def _number(place: Place, rng: random.Random, _: list[Place]) -> None:
    holder, index = place
    old = holder[index] if type(holder[index]) is int else 1
    digits = rng.choice((19, 20, 400, 4300, 4301, 100_000))
    holder[index] = rng.choice(
        (hostile(rng, old), hostile(rng, old), hostile(rng, old), Raw("9" * digits), Raw("-" + "9" * digits),
         Raw("1" + "0" * digits), Raw("1e999"), Raw("-0"), Raw("0.5"), Raw("1.0"), Raw("NaN"), True, None,
         Raw(f"{old}e0"), str(old))
    )  # fmt: skip


def _word(place: Place, rng: random.Random, everything: list[Place]) -> None:
    sample = rng.sample(everything, min(8, len(everything)))
    others = [item for holder, index in sample if isinstance(item := holder[index], str)]
    place[0][place[1]] = hostile_text(rng, others)


def _nest(place: Place, rng: random.Random, _: list[Place]) -> None:
    depth = rng.choice((1, 3, 70, 500, 900, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ("[[1],", "]")))
    inside = rng.choice((_text(place[0][place[1]]), "1", "0"))
    place[0][place[1]] = Raw(opening * depth + inside + closing * depth)


def _widen(place: Place, rng: random.Random, _: list[Place]) -> None:
    item = rng.choice(("0", "1", "[]", "{}", '""', '{"a":[]}', _text(place[0][place[1]])[:2000]))
    count = min(rng.choice((2, 65, 1000, 50_000)), 100_000 // (len(item) + 1))
    place[0][place[1]] = Raw("[" + ",".join([item] * count) + "]")


def _swap(place: Place, rng: random.Random, everything: list[Place]) -> None:
    (a, i), (b, j) = place, rng.choice(everything)
    if _text(a[i]) != _text(b[j]) and len(_text(a[i])) + len(_text(b[j])) < 20_000:
        left, right = Raw(_text(a[i])), Raw(_text(b[j]))
        a[i], b[j] = right, left


def _copy(place: Place, rng: random.Random, everything: list[Place]) -> None:
    holder, index = rng.choice(everything)
    place[0][place[1]] = Raw(_text(holder[index]))


def _restructure(place: Place, rng: random.Random, _: list[Place]) -> None:
    """Delete, repeat or rename what is in a container."""
    value = place[0][place[1]]
    if not isinstance(value, list) or not value:
        place[0][place[1]] = rng.choice((Raw("[]"), Raw("{}"), None, Raw("")))
        return
    index = rng.randrange(len(value))
    if rng.random() < 0.3:
        del value[index]
    elif isinstance(value, Pairs) and rng.random() < 0.6:
        value[index][0] = hostile_text(rng, [str(key) for key, _ in value])
    else:
        again = Raw(_text(value[index][1] if isinstance(value, Pairs) else value[index]))
        value.insert(
            rng.randrange(len(value) + 1), [value[index][0], again] if isinstance(value, Pairs) else again
        )


EDITS: tuple[Callable[[Place, random.Random, list[Place]], None], ...] = (
    _number, _number, _number, _word, _word, _nest, _widen, _swap, _copy, _restructure, _restructure,
)  # fmt: skip


def edit(value: Any, rng: random.Random) -> Any:
    """A value with one place changed, which may be the value itself."""
    root = [value]
    everything = [(root, 0), *places(value)]
    place = rng.choice(everything)
    if len(everything) > 1 and place[0] is root:
        place = rng.choice(everything)
    rng.choice(EDITS)(place, rng, everything)
    return root[0]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """JSON with some of its values, keys and containers changed."""
    value = parse(data)
    for _ in rounds(rng):
        value = edit(value, rng)
    return dump(value)
