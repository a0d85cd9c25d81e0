"""What versions come from: the best common ancestors of histories of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.history import graph, listing
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.history.refs.memory import MemoryHistory

from .worlds import World


def bases(world: World, *addresses: str) -> list[str]:
    found = graph.best_common(world.history, [world.find(a).row.id for a in addresses])
    return [f"{row.name}~{row.revision}" for row in found]


def crossed() -> World:
    """A base v1, then v2 on both sides, then each merges the other's v2."""
    world = World()
    world.save(content=1)
    world.branch("side", "v1")
    world.save(content=2)
    world.save("side", content=3, name="s2")
    ours, theirs = world.find("main@v2"), world.find("side@s2")
    world.save(content=4, others=(theirs,))
    world.save("side", content=5, others=(ours,), name="s3")
    return world


def test_where_a_branch_left() -> None:
    world = World()
    for content in (1, 2):
        world.save(content=content)
    world.branch("side", "v2")
    world.save(content=3)
    world.save("side", content=4, name="s3")
    assert bases(world, "main@v3", "side@s3") == ["v2~1"]
    assert bases(world, "side@s3", "main@v1") == ["v1~1"]
    assert bases(world, "side@s3", "side@s3") == ["s3~1"]


def test_unrelated_branches_have_none() -> None:
    world = World()
    world.branch("side")
    world.save(content=1)
    world.save("side", content=2, name="s1")
    assert bases(world, "main", "side") == []


def test_what_was_merged_is_the_next_base() -> None:
    world = World()
    world.save(content=1)
    world.branch("side", "v1")
    world.save(content=2)
    world.save("side", content=3, name="s2")
    world.save(content=4, others=(world.find("side@s2"),))
    world.save("side", content=5, name="s3")
    assert bases(world, "main", "side") == ["s2~1"]


def test_crosswise_merges_give_several_the_deepest_first() -> None:
    world = crossed()
    assert bases(world, "main", "side") == ["s2~1", "v2~1"]
    assert bases(world, "side", "main") == ["s2~1", "v2~1"]


def test_the_older_revision_is_what_both_came_from() -> None:
    world = World()
    world.save(content=1)
    world.branch("side", "v1")
    world.save(content=2)
    world.update("v1", 9)
    world.branch("late", "v1")
    world.save("late", content=3, name="s2")
    assert bases(world, "main@v2", "late@s2") == ["v1~1"]


def test_a_clock_that_runs_backwards_changes_nothing() -> None:
    world = World()
    world.clock = count(1_700_000_000_000_000, -1_000_000)
    world.save(content=1)
    world.branch("side", "v1")
    world.save(content=2)
    world.save("side", content=3, name="s2")
    assert bases(world, "main@v2", "side@s2") == ["v1~1"]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Versions by number, each with the numbers of those that it comes from."""
    made: list[tuple[int, ...]] = [()]
    for number in range(1, draw(st.integers(2, 14))):
        picked = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True))
        made.append(tuple(picked))
    return made


@given(histories(), st.data())
@settings(max_examples=60, deadline=None)
def test_it_is_what_the_definition_says(shape: list[tuple[int, ...]], data: st.DataObject) -> None:
    world = World()
    addresses: list[str] = []
    for number, parents in enumerate(shape):
        branch = f"b{number}"
        world.branch(branch, addresses[parents[0]] if parents else None)
        others = tuple(world.find(addresses[parent]) for parent in parents[1:])
        world.save(branch, content=number, others=others, name=f"n{number}")
        addresses.append(f"{branch}@n{number}")
    heads = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=2, max_size=3))

    def above(number: int) -> set[int]:
        return {number}.union(*(above(parent) for parent in shape[number]))

    common = set.intersection(*(above(head) for head in heads))
    best = {one for one in common if not any(one in above(other) - {other} for other in common)}
    rows = graph.best_common(world.history, [world.find(addresses[head]).row.id for head in heads])
    assert {row.name for row in rows} == {f"n{one}" for one in best}
    for older in range(len(shape)):
        newer = world.find(addresses[heads[0]]).row.id
        held = graph.has_version(world.history, newer, world.find(addresses[older]).row.id)
        assert held == (older in above(heads[0]))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_many_ancestors_are_found_together(data: st.DataObject) -> None:
    """As one after the other by parents, in a few questions for all."""
    history = Counting()
    world = World(history)
    for number in range(data.draw(st.integers(1, 40))):
        world.save(content=number)
    lines = {row.depth: row for row in graph.first_parents(world.history, world.find("main").row)}
    some = st.lists(st.tuples(st.sampled_from(list(lines.values())), st.integers(-1, 45)), max_size=20)
    wanted = data.draw(some)
    history.questions = 0
    found = graph.ancestors_at(history, wanted)
    assert found == [lines.get(depth) if depth <= start.depth else None for start, depth in wanted]
    assert history.questions <= 2 * 6


class Counting(MemoryHistory):
    """A history that counts how often it is asked for versions."""

    questions = 0

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        self.questions += 1
        return super().versions(ids)


def test_a_page_of_versions_whose_branches_are_gone_takes_few_questions() -> None:
    history = Counting()
    world = World(history)
    for number in range(40):
        world.save(content=number)
    for side in range(10):
        world.branch(f"kept{side}", f"v{side + 1}")
        world.save(f"kept{side}", content=100 + side)
    world.branch("gone", "v40")
    for number in range(20):
        world.save("gone", content=200 + number)
    world.branch("zoo", "gone@v60")
    world.delete_branch("gone")
    history.questions = 0
    found = listing.versions(world.lines, limit=20)
    assert {info.branch for info in found} == {"zoo"}
    assert history.questions < 30
