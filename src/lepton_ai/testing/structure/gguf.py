"""GGUF: counts, lengths, types, dimensions, offsets and alignment that lie; arrays within arrays."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, hostile_text, rounds

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
TYPES = (*range(45), 255, 1 << 31)


@dataclass
class _Value:
    key: bytes
    kind: int
    content: bytes


@dataclass
class _Info:
    name: bytes
    shape: list[int]
    kind: int
    offset: int


@dataclass
class _File:
    version: int
    values: list[_Value]
    infos: list[_Info]
    body: bytes
    """What follows the list of tensors, padding included."""
    lies: dict[str, int] = field(default_factory=dict)
    """Counts, and lengths of names, that are written instead of the true ones."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 4

    def number(self, width: int) -> int:
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "little")

    def text(self) -> bytes:
        length = self.number(8)
        self.at += length
        if self.at > len(self.data):
            raise NotStructured
        return self.data[self.at - length : self.at]

    def skip(self, kind: int) -> None:
        if kind in SCALARS:
            self.at += SCALARS[kind]
        elif kind == STRING:
            self.text()
        elif kind == ARRAY:
            inner, count = self.number(4), self.number(8)
            if count > len(self.data):
                raise NotStructured
            if inner in SCALARS:
                self.at += count * SCALARS[inner]
            else:
                for _ in range(count):
                    self.skip(inner)
        else:
            raise NotStructured


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file with other values and tensors, or other numbers about them."""
    file = _parse(data)
    for _ in rounds(rng):
        rng.choice(EDITS)(file, rng)
    return _write(file)


def _parse(data: bytes) -> _File:
    if data[:4] != b"GGUF" or len(data) < 24:
        raise NotStructured
    cursor = _Cursor(data)
    version, tensors, count = cursor.number(4), cursor.number(8), cursor.number(8)
    if max(tensors, count) > len(data):
        raise NotStructured
    values = []
    for _ in range(count):
        key, kind, start = cursor.text(), cursor.number(4), cursor.at
        cursor.skip(kind)
        values.append(_Value(key, kind, data[start : cursor.at]))
    infos = []
    for _ in range(tensors):
        name, rank = cursor.text(), cursor.number(4)
        if rank > 8:
            raise NotStructured
        infos.append(_Info(name, [cursor.number(8) for _ in range(rank)], cursor.number(4), cursor.number(8)))
    return _File(version, values, infos, data[cursor.at :])


def _write(file: _File) -> bytes:
    lies = file.lies
    out = [b"GGUF", struct.pack("<I", fit(file.version, 4))]
    out += [_u64(lies.get("tensors", len(file.infos))), _u64(lies.get("values", len(file.values)))]
    for value in file.values:
        out += [_u64(lies.get("key", len(value.key))), value.key, _u32(value.kind), value.content]
    for info in file.infos:
        out += [_u64(lies.get("name", len(info.name))), info.name, _u32(lies.get("rank", len(info.shape)))]
        out += [*map(_u64, info.shape), _u32(info.kind), _u64(info.offset)]
    return b"".join(out) + file.body


def _u64(value: int) -> bytes:
    return fit(value, 8).to_bytes(8, "little")


def _u32(value: int) -> bytes:
    return fit(value, 4).to_bytes(4, "little")


def _count(file: _File, rng: random.Random) -> None:
    key = rng.choice(("tensors", "values", "key", "name", "rank"))
    true = {"tensors": len(file.infos), "values": len(file.values), "key": 12, "name": 12, "rank": 2}[key]
    file.lies[key] = hostile(rng, true, len(file.body))


def _value(file: _File, rng: random.Random) -> None:
    """Another key, type or number of a value; lose or double it."""
    if not file.values:
        return
    index = rng.randrange(len(file.values))
    value, how = file.values[index], rng.randrange(5)
    if how == 0:
        value.kind = rng.choice((*range(14), 255))
    elif how == 1:
        value.key = hostile_text(rng, ["general.alignment"]).encode("utf-8", "surrogatepass")
    elif how == 2:
        start = rng.choice((0, 4))
        number = int.from_bytes(value.content[start : start + 8], "little")
        value.content = value.content[:start] + _u64(hostile(rng, number)) + value.content[start + 8 :]
    elif how == 3:
        del file.values[index]
    else:
        file.values.insert(index, value)


def _alignment(file: _File, rng: random.Random) -> None:
    number = rng.choice((0, 1, 3, 8, 32, 64, 4096, 1 << 20, 1 << 31, (1 << 32) - 1))
    kind = rng.choice((4, 4, 4, 10, 5, STRING))
    file.values.append(_Value(b"general.alignment", kind, _u64(number) if kind == 10 else _u32(number)))


def _nest(file: _File, rng: random.Random) -> None:
    """Arrays within arrays, deep or wide, counted rightly or not."""
    depth, width = rng.choice(((1, 5), (7, 1), (8, 1), (9, 1), (2000, 1), (2, 3000), (3, 40)))
    inner = _u32(rng.choice((0, 4, 10))) + _u64(0)
    for _ in range(depth):
        if len(inner) * width > 500_000:
            break
        inner = _u32(ARRAY) + _u64(width if rng.random() < 0.95 else hostile(rng, width)) + inner * width
    file.values.append(_Value(b"nested", ARRAY, inner))


def _info(file: _File, rng: random.Random) -> None:
    """Another name, type, shape or offset of a tensor; lose, double or swap it."""
    if not file.infos:
        return
    index = rng.randrange(len(file.infos))
    info, other = file.infos[index], rng.choice(file.infos)
    how = rng.randrange(8)
    if how == 0:
        info.name = hostile_text(rng, [other.name.decode("utf-8", "replace")]).encode(
            "utf-8", "surrogatepass"
        )
    elif how == 1:
        info.kind = rng.choice(TYPES)
    elif how == 2 and info.shape:
        place = rng.randrange(len(info.shape))
        info.shape[place] = hostile(rng, info.shape[place], len(file.body))
    elif how == 3:
        info.shape = rng.choice(
            ([], [0], [0, 1 << 62], [1] * 64, [1] * 65, [1 << 32, 1 << 32], info.shape[::-1])
        )
    elif how == 4:
        info.offset = rng.choice((hostile(rng, info.offset, len(file.body)), other.offset))
    elif how == 5:
        del file.infos[index]
    elif how == 6:
        count = min(rng.choice((1, 2, 2000)), 1 + 100_000 // (len(info.name) + 32))
        again = [_Info(info.name, list(info.shape), info.kind, info.offset) for _ in range(count)]
        file.infos[index:index] = again
    else:
        info.shape, other.shape = other.shape, info.shape


def _rest(file: _File, rng: random.Random) -> None:
    if rng.random() < 0.3:
        file.version = rng.choice((0, 1, 2, 3, 4, 1 << 24, 3 << 24))
    else:
        file.body = rng.choice((b"", file.body[: len(file.body) // 2], file.body[1:], b"\0" + file.body))


EDITS = (_count, _value, _value, _alignment, _nest, _info, _info, _info, _info, _info, _rest)
