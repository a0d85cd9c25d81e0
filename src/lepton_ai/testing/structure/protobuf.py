"""Protobuf: fields with other numbers, wire types, lengths and values; lost, doubled, moved and nested messages.

The schema is unknown here: whatever reads as a message is taken for one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, hostile_text, rounds

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEEPEST = 12
LARGEST_MESSAGE = 1 << 20


@dataclass
class Node:
    """A field: its content is ``parts`` when that is a message, else ``value``; ``length`` is what is said of it."""

    number: int
    wire: int
    value: bytes = b""
    parts: list[Node] | None = None
    length: int | None = None
    padded: int = 0
    """Bytes by which the tag is longer than it needs to be."""


@dataclass
class _Tree:
    parts: list[Node] = field(default_factory=list)

    def places(self) -> list[tuple[list[Node], int]]:
        """Every field, as the list that holds it and its place there."""
        found, waiting = [], [self.parts]
        while waiting:
            parts = waiting.pop()
            for index, node in enumerate(parts):
                found.append((parts, index))
                if node.parts is not None:
                    waiting.append(node.parts)
        return found


def parse(data: bytes, depth: int = 0) -> list[Node]:
    """The fields of a message.

    Raises:
        NotStructured: it is none.
    """
    found, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        start = at
        if wire == VARINT:
            _, at = read_varint(data, at)
        elif wire == BYTES:
            length, start = read_varint(data, at)
            at = start + length
        elif wire in {FIXED32, FIXED64}:
            at += 4 if wire == FIXED32 else 8
        else:
            raise NotStructured
        if at > len(data) or number == 0:
            raise NotStructured
        found.append(_node(number, wire, data[start:at], depth))
    return found


def _node(number: int, wire: int, content: bytes, depth: int) -> Node:
    if wire == BYTES and content and depth < DEEPEST and not content.isascii():
        try:
            return Node(number, wire, parts=parse(content, depth + 1))
        except NotStructured:
            pass  # a text or numbers, then
    elif wire == BYTES and 2 <= len(content) < LARGEST_MESSAGE and content[0] < 0x20 and depth < DEEPEST:
        try:
            return Node(number, wire, parts=parse(content, depth + 1))
        except NotStructured:
            pass
    return Node(number, wire, content)


def write(parts: list[Node]) -> bytes:
    """The message that ``parts`` make."""
    return b"".join(_written(parts))


def _written(parts: list[Node]) -> Iterator[bytes]:
    for node in parts:
        yield varint(node.number << 3 | node.wire, node.padded)
        content = node.value if node.parts is None else write(node.parts)
        if node.wire == BYTES:
            yield varint(len(content) if node.length is None else node.length)
        yield content


def varint(value: int, padded: int = 0) -> bytes:
    """A number of 64 bits, in more bytes than it needs when it is to be ``padded``."""
    value, out = fit(value, 8), bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if padded:
        out[-1] |= 0x80
        out += b"\x80" * (padded - 1) + b"\0"
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise NotStructured


def _value(node: Node, tree: _Tree, rng: random.Random) -> None:
    """Another number or text of the same kind."""
    if node.wire == VARINT:
        old, _ = read_varint(node.value, 0)
        long = rng.choice((b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\xff" * 11, b"\x80" * 10 + b"\0"))
        node.value = rng.choice((varint(hostile(rng, old)), varint(hostile(rng, old)), varint(old, 3), long))
    elif node.parts is None and node.wire == BYTES:
        texts = [other.value.decode("utf-8", "replace") for _, other in _nodes(tree) if other.wire == BYTES]
        text = hostile_text(rng, texts).encode("utf-8", "surrogatepass")
        node.value = rng.choice(
            (text, text, node.value * 2, node.value[:-1], b"\xff" + node.value, b"9" * 30)
        )
    else:
        node.value, node.parts = rng.randbytes(len(node.value)), None


def _nodes(tree: _Tree) -> Iterator[tuple[int, Node]]:
    yield from ((index, parts[index]) for parts, index in tree.places())


def _length(node: Node, _: _Tree, rng: random.Random) -> None:
    """A length that says more or less than there is; the messages around it stay true."""
    content = len(node.value if node.parts is None else write(node.parts))
    node.wire, node.length = BYTES, hostile(rng, content, content)


def _kind(node: Node, _: _Tree, rng: random.Random) -> None:
    """Another field number or wire type."""
    how = rng.randrange(4)
    if how == 0:
        node.number = rng.choice(
            (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 20, 25, 1 << 28, 1 << 29)
        )
    elif how == 1:
        node.wire = rng.choice((VARINT, FIXED64, BYTES, 3, 4, FIXED32, 6, 7))
    elif how == 2:
        node.padded = rng.choice((1, 4, 8, 9, 20))
    else:
        node.number = (node.number + rng.choice((-1, 1))) % 32


def _unpacked(node: Node, _: _Tree, rng: random.Random) -> None:
    """Many small fields of its number in place of one."""
    single = rng.choice((varint(1), varint(1 << 63), b"\x80" * 10, b"\0" * 4, b"\0" * 8))
    wire = {4: FIXED32, 8: FIXED64}.get(len(single), VARINT)
    node.parts = None
    node.value = (single + varint(node.number << 3 | wire)) * rng.choice((1, 3, 500, 20_000)) + single
    node.wire = wire


SINGLE = (_value, _value, _value, _length, _kind, _kind, _unpacked)


def _around(tree: _Tree, rng: random.Random) -> None:
    """Lose, double, move or nest a field."""
    everything = tree.places()
    parts, index = rng.choice(everything)
    node = parts[index]
    how = rng.randrange(6)
    if how == 0:
        del parts[index]
    elif how == 1:
        _double(parts, index, rng)
    elif how == 2:
        del parts[index]
        other, place = rng.choice(tree.places() or [(tree.parts, 0)])
        other.insert(place, node)
    elif how == 3:
        rng.shuffle(parts)
    elif how == 4 and node.parts is not None:
        _nest(node, rng.choice((1, 3, 40, 3000)))
    else:
        _graphs(tree, node, rng)


def _double(parts: list[Node], index: int, rng: random.Random) -> None:
    """Repeat a field, as bytes: what is changed in the first one later is not changed in all."""
    node = parts[index]
    content = node.value if node.parts is None else write(node.parts)
    most = 1 + 100_000 // (1 + len(content))
    parts[index:index] = [replace(node, value=content, parts=None)] * min(rng.choice((1, 1, 2, 300)), most)


def _nest(node: Node, depth: int) -> None:
    """A message within itself, ``depth`` times (written flat: it may be deeper than Python would follow)."""
    content = write(node.parts or [])
    for _ in range(depth):
        if len(content) > 200_000:
            break
        content += varint(node.number << 3 | BYTES) + varint(len(content)) + content[:2000]
    node.value, node.parts = content, None


def _graphs(tree: _Tree, node: Node, rng: random.Random) -> None:
    """Wrap a field into messages of ONNX's: graph → node → attribute → graph …"""
    content = write([replace(node)])
    around = rng.choice(((6, 5, 1), (6, 5, 1), (11, 5, 1), (5, 1), (7,)))
    for _ in range(rng.choice((1, 10, 31, 34, 300))):
        for number in around:
            content = varint(number << 3 | BYTES) + varint(len(content)) + content
    tree.parts.append(Node(7, BYTES, content))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A message with some of its fields changed."""
    tree = _Tree(parse(data))
    for _ in rounds(rng):
        everything = tree.places()
        if not everything:
            break
        if rng.random() < 0.3:
            _around(tree, rng)
        else:
            parts, index = rng.choice(everything)
            parts[index] = replace(parts[index])  # a doubled field is one object in several places
            rng.choice(SINGLE)(parts[index], tree, rng)
    return write(tree.parts)
