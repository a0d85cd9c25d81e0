"""Which blocks may resemble each other, by what the history knows: the same place of a version and its parent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lepton_ai.history.alike import Alone
from lepton_ai.history.bases import Bases
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import History, VersionRow
from lepton_ai.store.blocks.span import block_sizes
from lepton_ai.store.coder import BARE
from lepton_ai.store.contract import OPAQUE, Content, Stream
from lepton_ai.store.pairing import Pairing
from lepton_ai.types import Record

Pair = tuple[bytes, bytes]


def pairs(history: History, reader: Reader, rows: Iterable[VersionRow], alone: list[Alone]) -> Iterator[Pair]:
    """Blocks of the versions ``rows``, each with the one in its place in the nearest of them that it came from.

    ``alone`` gets the tensors that have no counterpart there.
    """
    kept = {row.id: row for row in rows}
    for row in kept.values():
        record = parse_record(row.record, row.id)
        above = [*row.parents, *([bytes.fromhex(record.revises)] if record.revises else [])]
        parents = {id_ for start in above if (id_ := _nearest(history, start, kept)) is not None}
        for parent in parents:
            yield from _between(reader, row.id, record, parse_record(kept[parent].record, parent), alone)
        if not parents:
            for found in reader.manifests(record.files).values():
                alone += [Alone(row.id, stream, found.content.block_size) for stream in found.content.streams]


def blocks_of(reader: Reader, record: Record, *, tensors: bool = False) -> set[bytes]:
    """Every block that a version is made of; with ``tensors`` only those of its tensors."""
    return {
        id_
        for found in reader.manifests(record.files).values()
        for stream in found.content.streams
        if stream.key != OPAQUE or not tensors
        for id_ in stream.ids
    }


def _nearest(history: History, start: bytes, kept: dict[bytes, VersionRow]) -> bytes | None:
    """``start``, or its next first-parent ancestor that is kept."""
    at: bytes | None = start
    while at is not None and at not in kept:
        row = history.versions([at]).get(at)
        at = row.parents[0] if row and row.parents else None
    return at


def _between(
    reader: Reader, version: bytes, child: Record, parent: Record, alone: list[Alone]
) -> Iterator[Pair]:
    bases = Bases(reader, parent)
    known = {entry.path: entry.sha256 for entry in parent.files}
    changed = [entry for entry in child.files if known.get(entry.path) != entry.sha256]
    for path, found in reader.manifests(changed).items():
        pairing = bases.for_file(path)
        for stream in found.content.streams:
            if pairing is not None and pairing.partner(stream.key, stream.dtype) is not None:
                yield from _of_stream(found.content, stream, pairing)
            else:
                alone.append(Alone(version, stream, found.content.block_size))


def _of_stream(content: Content, stream: Stream, pairing: Pairing) -> Iterator[Pair]:
    partner = pairing.partner(stream.key, stream.dtype)
    if partner is None or partner.blocks == stream.blocks:
        return
    starts = block_sizes(stream, content.block_size)
    for number, id_ in enumerate(stream.ids):
        length = min(starts[number + 1], stream.length) - starts[number]
        if stream.key == OPAQUE and length < BARE:
            continue
        base = pairing.block(stream.key, stream.dtype, number, length)
        if base is not None and base != id_:
            yield id_, base
