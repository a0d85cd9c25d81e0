"""UBJSON: markers, counts, lengths and types that lie; values lost, doubled, moved and nested."""

from __future__ import annotations

import random
from dataclasses import dataclass

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, hostile_text, rounds

WIDTHS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1}
MARKERS = (*(bytes((byte,)) for byte in b"iUIlLdDCSHTFZN[]{}$#"), b"\0", b"\xff")
DEEPEST = 60


@dataclass(frozen=True)
class Span:
    """A run of the file: "value" (whole, with its marker), "marker", "number" (a length or count) or "key"."""

    kind: str
    start: int
    end: int


class _Parser:
    """Finds the spans of a file as XGBoost writes it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.spans: list[Span] = []

    def take(self, length: int) -> bytes:
        self.at += length
        if length < 0 or self.at > len(self.data):
            raise NotStructured
        return self.data[self.at - length : self.at]

    def number(self) -> int:
        marker = self.take(1)
        if marker not in WIDTHS:
            raise NotStructured
        self.spans.append(Span("marker", self.at - 1, self.at))
        start = self.at
        value = int.from_bytes(self.take(WIDTHS[marker]), "big")
        self.spans.append(Span("number", start, self.at))
        return value

    def value(self, depth: int = 0) -> None:
        start, marker = self.at, self.take(1)
        self.spans.append(Span("marker", start, self.at))
        if marker in WIDTHS:
            self.take(WIDTHS[marker])
        elif marker == b"S":
            self.take(self.number())
        elif marker in {b"[", b"{"} and depth < DEEPEST:
            self.container(marker == b"{", depth)
        elif marker not in {b"T", b"F", b"Z"}:
            raise NotStructured
        self.spans.append(Span("value", start, self.at))

    def container(self, is_object: bool, depth: int) -> None:
        ahead = self.data[self.at : self.at + 1]
        if ahead == b"$":
            width = WIDTHS.get(self.take(2)[1:], 0)
            self.spans.append(Span("marker", self.at - 1, self.at))
            self.take(1)
            self.take(width * self.number())
            return
        count = -1
        if ahead == b"#":
            self.take(1)
            count = self.number()
        while count and not (count < 0 and self.data[self.at : self.at + 1] in {b"}", b"]"}):
            if is_object:
                length = self.number()
                self.take(length)
                self.spans.append(Span("key", self.at - length, self.at))
            self.value(depth + 1)
            count -= 1
        if count < 0:
            self.take(1)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file with one of its spans changed, several times."""
    for _ in rounds(rng):
        parser = _Parser(data)
        parser.value()
        kind = rng.choice(("value", "value", "marker", "number", "key"))
        spans = [span for span in parser.spans if span.kind == kind]
        if not spans:
            break
        span = rng.choice(spans)
        data = data[: span.start] + _changed(data, span, spans, rng) + data[span.end :]
        if rng.random() < 0.5:
            break  # a second lie can only be told where the first one leaves the file readable
        try:
            _Parser(data).value()
        except NotStructured:
            break
    return data


def _changed(data: bytes, span: Span, spans: list[Span], rng: random.Random) -> bytes:
    old = data[span.start : span.end]
    if span.kind == "marker":
        return rng.choice(MARKERS)
    if span.kind == "number":
        return fit(hostile(rng, int.from_bytes(old, "big"), len(data)), len(old)).to_bytes(len(old), "big")
    other = rng.choice(spans)
    if span.kind == "key":
        text = hostile_text(rng, ["learner", "gradient_booster"]).encode("utf-8", "surrogatepass")
        return rng.choice((data[other.start : other.end], text, text[: len(old)].ljust(len(old), b"x")))
    return _value(old, data[other.start : other.end][:20_000], rng)


def _value(old: bytes, other: bytes, rng: random.Random) -> bytes:
    """Something else where a value stood: nothing, two, another, deep, wide, or of a type and count that lie."""
    depth, marker, length = rng.choice((2, 62, 65, 5000)), rng.choice(MARKERS), fit(hostile(rng, 1, 100), 8)
    small = rng.choice((b"Z", b"[]", b"i\0", b"[$i#i\0", b"[#i\0"))
    return rng.choice(
        (
            b"",
            old + old[:20_000],
            other,
            b"[" * depth + b"Z" + b"]" * depth,
            b"[" + small * rng.choice((3, 20_000)) + b"]",
            b"[$" + marker + b"#L" + length.to_bytes(8, "big") + old,
            b"[#L" + length.to_bytes(8, "big") + old,
        )
    )
