"""The drawing of histories: golden texts, and what must hold for any history."""

from __future__ import annotations

import random
import re

import pytest

from lepton_ai.telling.graph import PLAIN, Line, Node, draw
from tests.cli.conftest import Lepton, model


def picture(history: str) -> str:
    """Draw nodes written as ``name: parent parent``, newest first."""
    nodes = []
    for line in history.strip().splitlines():
        name, _, parents = line.strip().partition(":")
        sign = {"m": "◆", "r": "↺", "x": "○"}.get(name[0], "●")
        nodes.append(Node(name.encode(), tuple(parent.encode() for parent in parents.split()), sign))
    lines = draw(nodes)
    return "\n".join(f"{line.lanes} {line.node.id.decode()}" if line.node else line.lanes for line in lines)


def golden(text: str) -> str:
    return "\n".join(line[4:] for line in text.strip("\n").splitlines()[:-1])


def test_one_line() -> None:
    assert picture("c: b\nb: a\na:") == golden("""
    ● c
    ● b
    ● a
    """)


def test_a_branch() -> None:
    assert picture("d: b\nc: b\nb: a\na:") == golden("""
    ● d
    │ ● c
    ├─╯
    ● b
    ● a
    """)


def test_a_merge() -> None:
    assert picture("e: m\nm: c d\nd: b\nc: b\nb: a\na:") == golden("""
    ● e
    ◆ m
    ├─╮
    │ ● d
    ● │ c
    ├─╯
    ● b
    ● a
    """)


def test_a_rollback_and_a_deleted_version() -> None:
    assert picture("r4: b\nx3: b\nb: a\na:") == golden("""
    ↺ r4
    │ ○ x3
    ├─╯
    ● b
    ● a
    """)


def test_three_branches_that_part_at_once() -> None:
    assert picture("e: a\nd: a\nc: a\na:") == golden("""
    ● e
    │ ● d
    │ │ ● c
    ├─┴─╯
    ● a
    """)


def test_lines_cross() -> None:
    assert picture("f: b\ne: c\nd: b\nc: b\nb:") == golden("""
    ● f
    │ ● e
    │ │ ● d
    │ ● │ c
    ├─┴─╯
    ● b
    """)
    assert picture("f: b\ne: a\nd: b\nb: a\na:") == golden("""
    ● f
    │ ● e
    │ │ ● d
    ├─┼─╯
    ● │ b
    ├─╯
    ● a
    """)


def test_a_merge_of_a_branch_that_is_drawn_already() -> None:
    assert picture("e: d\nm: c d\nd: b\nc: b\nb:") == golden("""
    ● e
    │ ◆ m
    ├─┤
    ● │ d
    │ ● c
    ├─╯
    ● b
    """)


def test_two_roots_and_a_lane_that_is_used_again() -> None:
    assert picture("d: b\nc:\nb: a\ne: a\na:") == golden("""
    ● d
    │ ● c
    ● b
    │ ● e
    ├─╯
    ● a
    """)


def test_what_follows_a_root_does_not_look_like_its_parent() -> None:
    assert picture("c:\nb: a\na:\nz:") == golden("""
    ● c
      ● b
      ● a
    ● z
    """)


def test_a_history_that_goes_on_below() -> None:
    assert picture("d: b\nc: z\nb: y") == golden("""
    ● d
    │ ● c
    ● │ b
    """)


def test_in_plain_letters() -> None:
    drawn = picture("e: m\nm: c d\nd: b\nr: c\nc: b\nx: b\nb:").translate(PLAIN)
    assert drawn == golden("""
    * e
    M m
    |-\\
    | * d
    | | R r
    |-+-/
    * | c
    | | x x
    |---/
    * b
    """)


@pytest.mark.parametrize("seed", range(30))
def test_every_edge_of_any_history_is_drawn(seed: int) -> None:
    """Follow the lines down from every node: exactly its parents are found, wherever lines cross."""
    rng = random.Random(seed)
    nodes = []
    for child in range(rng.randint(2, 80)):
        older = range(max(0, child - 8), child)
        parents = rng.sample(older, min(len(older), rng.choice([0, 1, 1, 1, 1, 2, 2])))
        nodes.append(Node(b"%d" % child, tuple(b"%d" % parent for parent in parents)))
    lines = draw(reversed(nodes))
    assert [line.node for line in lines if line.node] == nodes[::-1]
    for row, line in enumerate(lines):
        if line.node is not None:
            assert sorted(_followed(lines, row)) == sorted(line.node.parents)


def _followed(lines: list[Line], start: int) -> list[bytes]:
    """Ids of the nodes that the lines from the node in row ``start`` lead down to."""
    found = []
    column = lines[start].lanes.index("●")
    front = [(start + 1, column, "down")]
    while front:
        row, at, going = front.pop()
        if row == len(lines):
            continue
        sign = lines[row].lanes[at] if at < len(lines[row].lanes) else " "
        node = lines[row].node
        if sign == "●" and node is not None:
            found.append(node.id)
            continue
        ways = NEXT.get((going, sign), "")
        if row == start + 1 and at == column and node is None and len(lines[start].node.parents) > 1:
            ways = {"├": "down right", "┤": "down left", "┼": "down right left", "│": "down"}[sign]
        front += [(row + DOWN[way], at + RIGHT[way], way) for way in ways.split()]
    return found


DOWN = {"down": 1, "left": 0, "right": 0}
RIGHT = {"down": 0, "left": -1, "right": 1}
NEXT = {
    ("down", "│"): "down", ("down", "┼"): "down", ("down", "├"): "down", ("down", "┤"): "down",
    ("down", "╯"): "left", ("down", "┴"): "left", ("down", "╰"): "right",
    ("right", "─"): "right", ("right", "┼"): "right", ("right", "╮"): "down", ("right", "┤"): "down",
    ("left", "─"): "left", ("left", "┼"): "left", ("left", "┴"): "left", ("left", "├"): "down",
    ("left", "╭"): "down",
}  # fmt: skip
"""Where a line goes on that enters a sign; only at a merge's own sign it parts."""


def test_a_thousand_versions_take_a_line_each_and_few_lanes() -> None:
    rng = random.Random(1)
    heads = [b"0"]
    nodes = [Node(b"0", ())]
    for number in range(1, 1000):
        lane = rng.randrange(len(heads))
        nodes.append(Node(b"%d" % number, (heads[lane],)))
        if rng.random() < 0.01:
            heads.append(nodes[-1].id)
        heads[lane] = nodes[-1].id
    lines = draw(reversed(nodes))
    assert sum(line.node is not None for line in lines) == 1000
    assert max(len(line.lanes) for line in lines) <= 2 * len(heads)


def test_log_graph(three: Lepton) -> None:
    three("branch", "feature", "--from", "v2")
    three("save", model(step=5), "-b", "feature", "-m", "wider")
    three("rollback", "v1", "-m", "drifts")
    three("delete", "v3")
    three("tag", "best", "v2")
    assert drawn(three("log", "--graph").out) == golden("""
    ↺  main@v4  [main]  rollback to v1  drifts
    │ ●  feature@v3  [feature]  wider
    ○ │  main@v3  (deleted)  step 2
    ├─╯
    ●  main@v2  [tag/best]  step 1
    ●  main@v1  step 0
    """)
    assert drawn(three("log", "--graph", "-b", "feature").out) == golden("""
    ●  feature@v3  [feature]  wider
    ●  main@v2  [tag/best]  step 1
    ●  main@v1  step 0
    """)
    assert drawn(three("log", "--graph", "--limit", "2").out) == golden("""
    ↺  main@v4  [main]  rollback to v1  drifts
    │ ●  feature@v3  [feature]  wider
    """)


def test_a_merge_version(lepton: Lepton) -> None:
    lepton("save", model())
    lepton("branch", "feature")
    lepton("save", model(step=1), "-b", "feature")
    lepton("save", model(step=2))
    lepton("delete", "main@v2")
    lepton("merge", "feature")
    assert drawn(lepton("log", "--graph").out) == golden("""
    ◆  main@v3  [main]  merge of feature@v2
    ├─╮
    │ │ ○  main@v2  (deleted)
    │ ● │  feature@v2  [feature]
    ├─┴─╯
    ●  main@v1
    """)


def test_what_people_say_of_a_merge(lepton: Lepton) -> None:
    lepton("save", model())
    lepton("branch", "feature")
    lepton("save", model(step=1), "-b", "feature")
    lepton("merge", "feature", "--no-ff", "-m", "it is better")
    assert drawn(lepton("log", "--graph", "--limit", "1").out).splitlines()[0] == (
        "◆  main@v2  [main]  merge of feature@v2  it is better"
    )


def drawn(text: str) -> str:
    """The drawing without ids, times and author."""
    return re.sub(r"  [0-9a-f]{12}  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  Anna", "", text).rstrip("\n")


def test_the_graph_for_machines(three: Lepton) -> None:
    three("rollback", "v1")
    newest, *others = three("log", "--graph", "--json").json
    assert list(newest) == [
        "name", "id", "branch", "status", "at", "author", "message", "operation", "source", "parents", "labels",
    ]  # fmt: skip
    assert (newest["name"], newest["operation"], newest["labels"]) == ("v4", "rollback", ["main"])
    assert newest["source"] == others[-1]["id"]
    assert newest["parents"] == [others[0]["id"]]


def test_a_revised_version_stays_one_node(three: Lepton) -> None:
    three("update", "v2", "-m", "again")
    assert drawn(three("log", "--graph").out).splitlines() == [
        "●  main@v3  [main]  step 2", "●  main@v2  again", "●  main@v1  step 0",
    ]  # fmt: skip


def test_a_graph_of_one_name_is_an_error(three: Lepton) -> None:
    assert three("log", "--graph", "v2", "--json", code=2).error["kind"] == "usage"
    assert three("log", "--graph", "-b", "nope", "--json", code=2).error["kind"] == "not-found"
