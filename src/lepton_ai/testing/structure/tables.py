"""Sorted tables (TensorFlow's checkpoints): entries, prefixes, restarts, handles of blocks and footers that lie."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from lepton_ai.testing.structure import protobuf
from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit, hostile, hostile_text, rounds
from lepton_ai.testing.structure.protobuf import read_varint, varint

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER, TRAILER = 48, 5


@dataclass
class Entry:
    """A key and its value; ``lie`` holds what is written in place of shared, fresh and value lengths."""

    key: bytes
    value: bytes
    lie: dict[str, int] = field(default_factory=dict)


@dataclass
class Block:
    """Entries, the restart array behind them and the trailer."""

    entries: list[Entry]
    restarts: int | None = None
    compression: int = 0
    handle: tuple[int, int] | None = None


@dataclass
class Table:
    """Blocks, and what is told of them: in the index and in the footer."""

    blocks: list[Block]
    index: Block = field(default_factory=lambda: Block([]))
    footer: bytes | None = None
    tail: bytes = MAGIC
    order: list[int] | None = None


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A table with other entries, or other numbers about them."""
    table = parse(data)
    for _ in rounds(rng):
        if any(block.entries for block in table.blocks):
            rng.choice(EDITS)(table, rng)
    return write(table)


def parse(data: bytes) -> Table:
    """The entries of every block that the index tells of.

    Raises:
        NotStructured: it is no table.
    """
    if len(data) < FOOTER or not data.endswith(MAGIC):
        raise NotStructured
    numbers = _numbers(data[-FOOTER:], 4)
    handles = [_numbers(value, 2) for _, value in _entries(data, numbers[2], numbers[3])]
    blocks = [Block([Entry(*pair) for pair in _entries(data, offset, size)]) for offset, size, _ in handles]
    return Table(blocks)


def _numbers(data: bytes, count: int, at: int = 0) -> list[int]:
    """``count`` varints from byte ``at``, and where they end."""
    found = []
    for _ in range(count):
        value, at = read_varint(data, at)
        found.append(value)
    return [*found, at]


def _entries(data: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    block = data[offset : offset + size]
    end = size - 4 * (1 + int.from_bytes(block[-4:], "little"))
    key, at, found = b"", 0, []
    while at < end:
        shared, fresh, length, at = _numbers(block, 3, at)
        key = key[:shared] + block[at : at + fresh]
        found.append((key, block[at + fresh : at + fresh + length]))
        at += fresh + length
    return found


def write(table: Table) -> bytes:
    """The table's bytes; keys share their prefixes, with a restart at the first key of a block only."""
    out, handles = bytearray(), []
    for block in table.blocks:
        content = _block(block)
        true = (len(out), len(content) - TRAILER)
        handles.append((block.entries[-1].key + b"\0" if block.entries else b"", block.handle or true))
        out += content
    index = [Entry(key, varint(offset) + varint(size)) for key, (offset, size) in handles]
    if table.order is not None:
        index = [index[place % len(index)] for place in table.order] if index else []
    places = [(len(out), 8)]
    out += _block(Block([]))
    places.append(
        (len(out), len(written := _block(Block(index, table.index.restarts, table.index.compression))) - 5)
    )
    out += written
    footer = b"".join(varint(number) for place in places for number in place)
    if table.footer is not None:
        footer = table.footer
    return bytes(out) + footer[:40].ljust(40, b"\0") + table.tail


def _block(block: Block) -> bytes:
    out, last = bytearray(), b""
    for entry in block.entries:
        shared = _shared(last, entry.key)
        true = {"shared": shared, "fresh": len(entry.key) - shared, "value": len(entry.value)} | entry.lie
        out += b"".join(varint(true[name]) for name in ("shared", "fresh", "value"))
        out += entry.key[shared:] + entry.value
        last = entry.key
    restarts = 1 if block.restarts is None else block.restarts
    out += b"\0" * 4 + fit(restarts, 4).to_bytes(4, "little")
    return bytes(out) + bytes((fit(block.compression, 1),)) + b"\0" * 4


def _shared(last: bytes, key: bytes) -> int:
    """Bytes that two keys begin with."""
    low, high = 0, min(len(last), len(key))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if last[:middle] == key[:middle] else (low, middle - 1)
    return low


def _entry(table: Table, rng: random.Random) -> tuple[Block, int]:
    block = rng.choice([block for block in table.blocks if block.entries])
    return block, rng.randrange(len(block.entries))


def _value(table: Table, rng: random.Random) -> None:
    """Another BundleEntryProto (or header, for the first one)."""
    block, index = _entry(table, rng)
    entry = block.entries[0 if rng.random() < 0.15 else index]
    try:
        entry.value = protobuf.mutate(entry.value, rng)
    except NotStructured:
        entry.value = rng.randbytes(rng.randrange(40))


def _key(table: Table, rng: random.Random) -> None:
    block, index = _entry(table, rng)
    others = [entry.key.decode("utf-8", "replace") for entry in block.entries]
    text = hostile_text(rng, others).encode("utf-8", "surrogatepass")
    block.entries[index].key = rng.choice((text, block.entries[index].key + text, b"\xff", b"\0" + text))
    if rng.random() < 0.5:
        block.entries.sort(key=lambda entry: entry.key)


def _lengths(table: Table, rng: random.Random) -> None:
    block, index = _entry(table, rng)
    name = rng.choice(("shared", "fresh", "value"))
    block.entries[index].lie[name] = hostile(rng, len(block.entries[index].value), 4096)


def _members(table: Table, rng: random.Random) -> None:
    """Lose, double or turn round entries; make many that share all of a long key."""
    block, index = _entry(table, rng)
    how = rng.randrange(4)
    if how == 0:
        del block.entries[index]
    elif how == 1:
        block.entries.insert(index, block.entries[index])
    elif how == 2:
        block.entries.reverse()
    else:
        stem, value = b"z" * rng.choice((10, 4090)), block.entries[index].value
        block.entries += [Entry(stem + f"{n:05}".encode(), value) for n in range(rng.choice((3, 3000)))]


def _split(table: Table, rng: random.Random) -> None:
    """Two blocks, or a block for each key, where one was."""
    index = rng.randrange(len(table.blocks))
    entries = table.blocks[index].entries
    step = rng.choice((1, max(1, len(entries) // 2)))
    table.blocks[index : index + 1] = [
        Block(entries[n : n + step]) for n in range(0, max(1, len(entries)), step)
    ]


def _handles(table: Table, rng: random.Random) -> None:
    """Blocks that lie elsewhere, in another order, or on top of each other."""
    block = rng.choice(table.blocks)
    how = rng.randrange(6)
    if how == 0:
        block.handle = (hostile(rng, 0, 1000), hostile(rng, 100, 1000))
    elif how == 1:
        table.order = [rng.randrange(len(table.blocks)) for _ in range(rng.choice((0, 1, 2, 1000)))]
    elif how == 2:
        rng.choice([block, table.index]).restarts = hostile(rng, 1, 1000)
    elif how == 3:
        rng.choice([block, table.index]).compression = rng.choice((1, 2, 255))
    elif how == 4:
        table.tail = rng.choice((MAGIC[::-1], b"", MAGIC + b"\0", bytes((MAGIC[0] ^ 1,)) + MAGIC[1:]))
    else:
        table.footer = b"".join(varint(hostile(rng, 0, 1000)) for _ in range(4))


EDITS = (*(_value,) * 8, _key, _key, _key, _lengths, _members, _members, _split, _split, _handles, _handles)
