"""The plan of a repack, a pure function: every block has a way within its bound, and bytes never grow without need."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.store.repack.plan import Block, heights, lengths, plan, size

Blocks = dict[bytes, Block]
Edges = dict[tuple[bytes, bytes], int]


def _id(number: int) -> bytes:
    return bytes([number])


def _line(count: int, bound: int, *, newest: int = 1) -> tuple[Blocks, Edges]:
    """Versions in a row, of which the last must be in full (or have a chain of ``newest``)."""
    blocks = {_id(n): Block(bound if n < count - 1 else newest, 100) for n in range(count)}
    edges = {(_id(a), _id(b)): 10 for a in range(count) for b in (a - 1, a + 1) if 0 <= b < count}
    return blocks, edges


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> tuple[Blocks, Edges]:
    count = draw(st.integers(1, most))
    blocks = {
        _id(n): Block(draw(st.integers(1, 5)), draw(st.integers(1, 60)), draw(st.booleans()) or n == 0)
        for n in range(count)
    }
    pairs = draw(
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=3 * count)
    )
    return blocks, {(_id(a), _id(b)): draw(st.integers(1, 60)) for a, b in pairs if a != b}


def _allowed(blocks: Blocks, chosen: dict[bytes, bytes | None]) -> bool:
    """Whether every needed block is there, every base too, and no chain is circular or too long."""
    if not {id_ for id_, block in blocks.items() if block.needed} <= set(chosen):
        return False
    for id_, base in chosen.items():
        way, at = [id_], base
        while at is not None:
            if at in way or at not in chosen:
                return False
            way.append(at)
            at = chosen[at]
        if len(way) > blocks[id_].bound:
            return False
    return True


@given(graphs())
def test_every_block_has_a_way_within_its_bound_and_bytes_do_not_grow(graph: tuple[Blocks, Edges]) -> None:
    blocks, edges = graph
    chosen = plan(blocks, edges)
    assert _allowed(blocks, chosen)
    assert size(blocks, edges, chosen) <= sum(block.whole for block in blocks.values() if block.needed)
    far, tall = lengths(chosen), heights(chosen)
    for id_, base in chosen.items():
        assert far[id_] == (1 if base is None else far[base] + 1)
        assert base is None or tall[base] > tall[id_]


@settings(max_examples=60)
@given(st.data())
def test_on_a_tree_no_plan_is_smaller(data: st.DataObject) -> None:
    """All there are, tried one by one."""
    count = data.draw(st.integers(1, 6))
    blocks = {
        _id(n): Block(data.draw(st.integers(1, 3)), data.draw(st.integers(40, 60)), data.draw(st.booleans()))
        for n in range(count)
    }
    edges: Edges = {}
    for n in range(1, count):
        other = data.draw(st.integers(0, n - 1))
        edges[_id(n), _id(other)] = data.draw(st.integers(1, 39))
        if data.draw(st.booleans()):
            edges[_id(other), _id(n)] = data.draw(st.integers(1, 39))
    out = b"left out"
    ways = [[out, None, *(b for a, b in edges if a == id_)] for id_ in blocks]
    every = (
        {id_: base for id_, base in zip(blocks, bases, strict=True) if base != out}
        for bases in product(*ways)
    )
    least = min(size(blocks, edges, chosen) for chosen in every if _allowed(blocks, chosen))
    assert size(blocks, edges, plan(blocks, edges)) == least


def test_a_line_has_its_key_frames_in_the_middle() -> None:
    """One that is read from both sides serves twice as many as one at the end."""
    blocks, edges = _line(32, 11)
    chosen = plan(blocks, edges)
    assert chosen[_id(31)] is None
    assert sum(base is None for base in chosen.values()) == 2
    assert max(lengths(chosen).values()) <= 11
    assert sum(base is None for base in plan(*_line(32, 1)).values()) == 32
    assert sum(base is None for base in plan(*_line(9, 2, newest=2)).values()) == 3


def test_of_plans_of_one_size_the_cheapest_to_read() -> None:
    blocks, edges = _line(5, 11, newest=11)
    assert [id_ for id_, base in plan(blocks, edges).items() if base is None] == [_id(2)]


def test_what_nobody_needs_stays_only_where_others_stand_on_it() -> None:
    blocks, edges = _line(3, 11)
    blocks[_id(1)] = Block(11, 100, needed=False)
    assert plan(blocks, edges) == {_id(0): _id(1), _id(1): _id(2), _id(2): None}
    assert plan(blocks, edges | {(_id(0), _id(2)): 15}) == {_id(0): _id(2), _id(2): None}
    assert plan(blocks, {(_id(0), _id(2)): 60}) == {_id(0): _id(2), _id(2): None}
