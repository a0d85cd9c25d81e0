"""From a file and its plan to blocks, reading it once and in order.

What lies side by side in the file is read and handed on together: one big block, or many small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from lepton_ai.errors import UsageError
from lepton_ai.store.blocks.chunking import LARGEST, Chunker
from lepton_ai.store.contract import OPAQUE, Content, Run, Stream
from lepton_ai.store.pipeline import portions

GROUP = 1 << 20
"""Bytes that are handled together at most, unless one block is larger."""

GROUP_BLOCKS = 512


class Part(NamedTuple):
    """A block: the number of its stream, its number in it, its plain bytes."""

    stream: int
    number: int
    data: bytes | memoryview


class Group(NamedTuple):
    """Bytes of the file in order (``data``) and blocks that are complete with them."""

    data: bytes
    parts: list[Part]


class Plan:
    """The streams of a file: stream 0 are all opaque runs when there are any, the others in the file's order."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.opaque = sum(run.length for run in runs if run.key == OPAQUE)
        self.has_opaque = any(run.key == OPAQUE for run in runs)
        self.streams: list[tuple[str, str, int]] = [(OPAQUE, "bytes", self.opaque)] if self.has_opaque else []
        self.runs: list[tuple[int, int]] = []
        keys = set()
        for run in runs:
            if run.length < 0 or run.key in keys:
                raise UsageError(f"The plan of a file names {run.key!r} twice, or with a negative length.")
            if run.key == OPAQUE:
                self.runs.append((0, run.length))
                continue
            keys.add(run.key)
            self.runs.append((len(self.streams), run.length))
            self.streams.append((run.key, run.dtype, run.length))
        self.size = sum(run.length for run in runs)

    def tensors(self) -> Iterator[tuple[str, str, int, int]]:
        """Key, type, length in bytes and place in the file of every stream but the opaque one."""
        place = 0
        for stream, length in self.runs:
            key, dtype, _ = self.streams[stream]
            if key != OPAQUE:
                yield key, dtype, length, place
            place += length

    def content(self, block_size: int, blocks: list[bytearray], sizes: list[int]) -> Content:
        """The content, given the ids of each stream's blocks, joined, and the lengths of the opaque ones."""
        uniform = all(size == block_size for size in sizes[:-1]) and (not sizes or sizes[-1] <= block_size)
        streams = tuple(
            Stream(key, dtype, length, bytes(ids), () if key != OPAQUE or uniform else tuple(sizes))
            for (key, dtype, length), ids in zip(self.streams, blocks, strict=True)
        )
        return Content(self.size, block_size, tuple(self.runs), streams)


def cut(file: BinaryIO, plan: Plan, block_size: int) -> Iterator[Group]:
    """The file's bytes and blocks.

    Raises:
        UsageError: the file is longer or shorter than the plan.
    """
    chunker = Chunker(plan.opaque)
    opaque_blocks = 0
    for extents in _groups(plan, block_size):
        data = _read(file, sum(length for _, _, length in extents), plan.size)
        view, start, parts = memoryview(data), 0, []
        for stream, number, length in extents:
            piece = view[start : start + length] if length != len(data) else data
            start += length
            if number >= 0:
                parts.append(Part(stream, number, piece))
                continue
            for chunk in chunker.feed(piece):
                parts.append(Part(0, opaque_blocks, chunk))
                opaque_blocks += 1
        yield Group(data, parts)
    if file.read(1):
        raise _changed(plan.size)


def _groups(plan: Plan, block_size: int) -> Iterator[list[tuple[int, int, int]]]:
    """Extents (stream, number of the block or -1 for opaque bytes, length) that are read together."""
    return portions(_extents(plan, block_size), lambda extent: extent[2], GROUP, GROUP_BLOCKS)


def _extents(plan: Plan, block_size: int) -> Iterator[tuple[int, int, int]]:
    for stream, length in plan.runs:
        opaque = plan.has_opaque and stream == 0
        step = LARGEST if opaque else block_size
        for number, start in enumerate(range(0, length, step)):
            yield stream, -1 if opaque else number, min(step, length - start)


def _read(file: BinaryIO, length: int, size: int) -> bytes:
    data = file.read(length)
    if len(data) == length:
        return data
    parts, missing = [data], length - len(data)
    while missing and (data := file.read(missing)):  # unbuffered files give what they have
        parts.append(data)
        missing -= len(data)
    if missing:
        raise _changed(size)
    return b"".join(parts)


def _changed(size: int) -> UsageError:
    return UsageError(
        f"The file is no longer {size:,} bytes long: it was changed while it was read.",
        hint="save again when nothing writes to it",
    )
