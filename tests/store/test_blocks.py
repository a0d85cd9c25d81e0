"""Cutting files into blocks, and finding bytes in them again."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import Damaged, UsageError
from lepton_ai.store.blocks.chunking import (
    ADD,
    BOUND,
    LARGEST,
    MULTIPLY,
    SMALLEST,
    Chunker,
    first_cut,
)
from lepton_ai.store.blocks.cut import GROUP, GROUP_BLOCKS, Plan, cut
from lepton_ai.store.blocks.span import Span
from lepton_ai.store.contract import OPAQUE, Content, Run, Stream
from tests.store.house import noise

MIB = 1 << 20


def _chunks(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    """Chunk ``data``, fed in pieces of these sizes (again and again)."""
    chunker, start = Chunker(len(data)), 0
    result: list[bytes] = []
    for size in itertools.cycle(sizes or [MIB]):
        if start >= len(data):
            return result
        result += chunker.feed(data[start : start + size])
        start += size
    return result


def test_up_to_one_mebibyte_is_one_chunk() -> None:
    for size in (1, 100, SMALLEST + 1, LARGEST):
        assert [len(chunk) for chunk in _chunks(noise(size))] == [size]
    assert _chunks(b"") == []


def test_chunks_join_to_the_stream_and_keep_the_bounds() -> None:
    data = noise(30 * MIB + 12345)
    chunks = _chunks(data)
    assert b"".join(chunks) == data
    assert all(SMALLEST <= len(chunk) <= LARGEST for chunk in chunks[:-1])
    mean = len(data) / len(chunks)
    assert 0.45 * MIB < mean < 0.65 * MIB


def test_the_cuts_as_the_specification_says() -> None:
    """One byte after the other, as a stranger would write it."""
    data = noise(2 * MIB, seed=7)
    expected = min(LARGEST, len(data))
    for place in range(SMALLEST, expected):
        window = int.from_bytes(data[place - 8 : place], "little")
        if (window + ADD) * MULTIPLY % 2**64 < BOUND:
            expected = place
            break
    assert first_cut(data) == expected < LARGEST
    assert (SMALLEST, LARGEST, BOUND) == (2**18, 2**20, 3 * 2**44)
    assert (ADD, MULTIPLY) == (0xD6E8FEB86659FD93, 0x9E3779B97F4A7C15)


def test_the_cuts_are_frozen() -> None:
    lengths = [len(chunk) for chunk in _chunks(noise(5 * MIB, seed=3))]
    assert lengths == [323655, 537044, 579167, 825801, 305507, 301329, 349707, 711497, 921207, 280462, 107504]


@pytest.mark.parametrize("sizes", [[1000], [7, 300_000, 1], [LARGEST - 1], [5 * MIB]])
def test_how_the_stream_comes_does_not_matter(sizes: list[int]) -> None:
    data = noise(4 * MIB + 99, seed=5)
    assert _chunks(data, sizes) == _chunks(data)


def test_an_insertion_leaves_the_other_chunks() -> None:
    data = noise(20 * MIB)
    for place in (0, 5 * MIB + 3, 19 * MIB):
        changed = data[:place] + b"inserted" + data[place:]
        before, after = set(_chunks(data)), set(_chunks(changed))
        assert len(after - before) <= 4


def test_monotonous_bytes_are_cut_at_the_largest_size() -> None:
    assert {len(chunk) for chunk in _chunks(bytes(4 * MIB))} == {LARGEST}


# ---------------------------------------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Run], int]:
    """A plan and a block size."""
    block_size = draw(st.sampled_from([1, 7, 64, 1000]))
    runs = []
    for number in range(draw(st.integers(0, 8))):
        length = draw(st.integers(0, 5) | st.integers(0, 3 * block_size + 2))
        opaque = draw(st.booleans())
        runs.append(
            Run(length) if opaque else Run(length, f"t{number}", draw(st.sampled_from(["float32", "x"])))
        )
    return runs, block_size


def _content(data: bytes, runs: list[Run], block_size: int) -> tuple[Content, dict[bytes, bytes]]:
    """Cut without a store."""
    plan, blocks = Plan(runs), {}
    ids = [bytearray() for _ in plan.streams]
    sizes: list[int] = []
    seen = bytearray()
    for group in cut(io.BytesIO(data), plan, block_size):
        seen += group.data
        for part in group.parts:
            id_ = blake3(part.data).digest()
            blocks[id_] = bytes(part.data)
            assert part.number == len(ids[part.stream]) // 32
            ids[part.stream] += id_
            if plan.has_opaque and part.stream == 0:
                sizes.append(len(part.data))
    assert bytes(seen) == data
    return plan.content(block_size, ids, sizes), blocks


@given(plans(), st.data())
def test_any_range_of_any_file_is_found_again(plan: tuple[list[Run], int], choose: st.DataObject) -> None:
    runs, block_size = plan
    size = sum(run.length for run in runs)
    data = noise(size, seed=size)
    content, blocks = _content(data, runs, block_size)
    offset = choose.draw(st.integers(0, size))
    length = choose.draw(st.integers(0, size - offset))
    span = Span(content)
    for start, amount in ((0, size), (offset, length)):
        pieces = list(span.pieces(start, amount))
        assert (
            b"".join(blocks[p.id][p.start : p.start + p.length] for p in pieces)
            == data[start : start + amount]
        )
        assert all(len(blocks[piece.id]) == piece.size for piece in pieces)
    ends = [piece.stream for piece in span.pieces(0, size) if piece.last]
    assert sorted(ends) == [i for i, stream in enumerate(content.streams) if stream.length]


@given(plans())
def test_the_shape_of_a_content(plan: tuple[list[Run], int]) -> None:
    runs, block_size = plan
    data = noise(sum(run.length for run in runs))
    content, _ = _content(data, runs, block_size)
    assert (content.size, content.block_size) == (len(data), block_size)
    keys = [stream.key for stream in content.streams]
    named = [run.key for run in runs if run.key != OPAQUE]
    assert keys == ([OPAQUE] if any(run.key == OPAQUE for run in runs) else []) + named
    for stream in content.streams:
        count = len(stream.blocks) // 32
        if stream.sizes:
            assert stream.key == OPAQUE
            assert sum(stream.sizes) == stream.length
            assert len(stream.sizes) == count
        else:
            assert count == -(-stream.length // block_size)


def test_small_neighbours_are_handled_together_and_big_blocks_alone() -> None:
    runs = [Run(4, f"small{i}", "float32") for i in range(1500)] + [Run(3 * GROUP, "big"), Run(10)]
    data = noise(sum(run.length for run in runs))
    groups = list(cut(io.BytesIO(data), Plan(runs), GROUP))
    assert [len(group.parts) for group in groups] == [
        GROUP_BLOCKS,
        GROUP_BLOCKS,
        1500 - 2 * GROUP_BLOCKS,
        1,
        1,
        1,
        1,
    ]
    assert max(len(group.data) for group in groups) <= GROUP


class Dripping(io.BytesIO):
    """Gives three bytes at a time, like a pipe."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size if size is not None and size >= 0 else 3))


def test_a_file_that_gives_little_at_a_time() -> None:
    data = noise(1000)
    groups = list(cut(Dripping(data), Plan([Run(500), Run(500, "t")]), 64))
    assert b"".join(group.data for group in groups) == data


@pytest.mark.parametrize("length", [0, 1, 99, 101, 5000])
def test_a_file_that_is_not_as_long_as_its_plan_is_an_error(length: int) -> None:
    with pytest.raises(UsageError, match="changed while it was read"):
        list(cut(io.BytesIO(noise(length)), Plan([Run(40, "t"), Run(60)]), 64))


def test_plans_that_make_no_sense() -> None:
    for runs in ([Run(1, "a"), Run(1, "a")], [Run(-1)], [Run(5), Run(-1, "a")]):
        with pytest.raises(UsageError):
            Plan(runs)


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 101), (101, 0), (50, 51), (5, -1)])
def test_ranges_outside_of_the_file(offset: int, length: int) -> None:
    content, _ = _content(noise(100), [Run(100)], 64)
    with pytest.raises(UsageError):
        list(Span(content).pieces(offset, length))


ID = bytes(32)


@pytest.mark.parametrize(
    "content",
    [
        Content(10, 4, ((0, 10),), (Stream("t", "x", 10, ID * 2),)),
        Content(10, 4, ((0, 10),), (Stream("t", "x", 10, ID * 3 + b"x"),)),
        Content(10, 4, ((0, 10),), (Stream("", "x", 10, ID * 2, (5, 6)),)),
        Content(10, 4, ((0, 10),), (Stream("", "x", 10, ID * 2, (10, 0)),)),
        Content(10, 4, ((0, 10),), (Stream("", "x", 10, ID, (5, 5)),)),
        Content(10, 0, ((0, 10),), (Stream("t", "x", 10, ID * 3),)),
        Content(11, 4, ((0, 10),), (Stream("t", "x", 10, ID * 3),)),
        Content(10, 4, ((1, 10),), (Stream("t", "x", 10, ID * 3),)),
        Content(10, 4, ((-1, 10),), (Stream("t", "x", 10, ID * 3),)),
        Content(5, 4, ((0, 10), (0, -5)), (Stream("t", "x", 5, ID * 2),)),
        Content(8, 4, ((0, 8),), (Stream("t", "x", 8, ID * 2), Stream("u", "x", 1, ID))),
    ],
)
def test_contents_that_make_no_sense_are_damage(content: Content) -> None:
    with pytest.raises(Damaged):
        Span(content)


def test_constants_of_numpy_and_python_agree() -> None:
    assert int(np.uint64(MULTIPLY)) == MULTIPLY < 2**64
