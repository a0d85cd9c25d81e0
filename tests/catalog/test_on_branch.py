"""The versions of a branch, from the index: the same as ``lepton versions -b`` lists, page by page."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

from lepton_ai import wire
from lepton_ai.catalog import branch_line, hooks, on_branch, repositories, search
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.on_branch import Standing
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.errors import UsageError
from lepton_ai.history import finding, graph
from lepton_ai.history.changes import branches, deletion, saving
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.lines import Lines
from lepton_ai.telling import lineage
from lepton_ai.types import Operation, Record

BRANCHES = ("main", "feature", "early", "crossed", "nothing")


class World:
    """A repository of rows alone, written by the rules of the history."""

    def __init__(self, catalog: Catalog) -> None:
        row = repositories.create(catalog, wire.NewRepository("ada", f"lines-{secrets.token_hex(8)}"), "ada")
        self.catalog, self.number = catalog, row.number
        self.lines = Lines(CatalogHistory(catalog, row.number))
        self.time = 1_795_132_800_000_000

    def act(self) -> Act:
        self.time += 1_000_000
        return Act("ada", self.time)

    def branch(self, name: str, base: str | None = None) -> None:
        act = self.act()
        found = self.lines.resolve(base) if base else None
        attempt(self.lines.history, lambda: branches.create(self.lines, name, act, base=found))

    def save(self, branch: str, loss: float) -> bytes:
        act = self.act()
        record = Record("", "", "", "", Operation("save"), (), metrics={"loss": loss})
        draft = saving.Draft(record)
        return attempt(self.lines.history, lambda: saving.new_version(self.lines, branch, draft, act)).id

    def update(self, name: str, loss: float) -> None:
        act, found = self.act(), self.lines.resolve(name)
        record = Record("", "", "", "", Operation("update"), (), metrics={"loss": loss})
        attempt(
            self.lines.history,
            lambda: saving.new_revision(self.lines, found.row.first, saving.Draft(record), act),
        )

    def pages(self, branch: str, where: str, order_by: str, size: int, *, deleted: bool) -> list[str]:
        meant = self.lines.branch(branch)
        standing = Standing(meant.head, meant.state.uid)
        found: list[str] = []
        cursor = None
        while True:
            page = search.versions(
                self.catalog, self.number, where, order_by, cursor, size, branch=standing, deleted=deleted
            )
            assert len(page.versions) <= size
            found += [info.id for info in page.versions]
            cursor = page.next
            if cursor is None:
                return found
            assert len(page.versions) == size


@pytest.fixture(scope="module")
def world(shared: Catalog) -> Iterator[World]:
    """Main moved forward to a branch, went on, stepped back; an old branch, and one beside of main's own versions."""
    catalog = hooks.attach(Catalog(shared.url.render_as_string(hide_password=False)))
    made = World(catalog)
    for name in ("main", "nothing"):
        made.branch(name)
    for number in range(5):
        made.save("main", number)
    made.branch("early", "v2")
    made.branch("feature", "v5")
    for number in range(4):
        made.save("feature", 10 + number)
    merged = made.act()
    attempt(made.lines.history, lambda: saving.merge(made.lines, "feature", "main", merged))
    for number in range(4):
        made.save("main", 20 - number)
        made.save("early", 30 + number)
    made.save("feature", 50)
    made.branch("crossed", "v5")
    crossed = made.act()
    attempt(
        made.lines.history,
        lambda: saving.merge(made.lines, "feature", "crossed", crossed, fast_forward=False),
    )
    made.save("crossed", 70)
    last = made.save("main", 60)
    gone = made.act()
    attempt(made.lines.history, lambda: deletion.delete(made.lines, last, gone))
    made.save("main", 61)
    middle = made.lines.resolve("v3").row.first
    attempt(made.lines.history, lambda: deletion.delete(made.lines, middle, gone))
    made.update("v4", 0.5)
    yield made
    catalog.close()


WAYS: list[tuple[dict[str, int], tuple[int, ...]]] = [
    ({}, (1, 100)),
    ({"SHORT": 0, "_ASKING": 0}, (3,)),
    ({"SHORT": 0, "_ASKING": 1}, (2,)),
]
"""Branches are listed at once; asked about every version; asked, and listed when it gets too much. Sizes of pages."""


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(
    ("where", "order_by"),
    [
        ("", ""), ("metrics.loss >= 4", ""), ("", "metrics.loss"), ("metrics.loss < 40", "metrics.loss DESC"),
        ("status = 'Deleted'", ""), ("", "author, metrics.loss DESC"),
    ],
)  # fmt: skip
def test_a_branch_has_what_its_list_shows(
    world: World, branch: str, deleted: bool, where: str, order_by: str
) -> None:
    expected = [info.id for info in finding.versions(world.lines, branch, where, order_by, deleted=deleted)]
    if not order_by:
        expected.reverse()
    for way, sizes in WAYS:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in way.items():
                patch.setattr(branch_line, name, value)
            for size in sizes:
                assert world.pages(branch, where, order_by, size, deleted=deleted) == expected


def test_the_world_is_what_it_is_made_for(world: World) -> None:
    assert len(world.pages("main", "", "", 100, deleted=True)) == 15
    assert len(world.pages("early", "", "", 100, deleted=False)) == 6
    assert world.pages("nothing", "", "", 100, deleted=True) == []


def test_a_page_reads_as_much_as_it_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_branch, "_BATCH", 2)
    meant = world.lines.branch("main")
    with world.catalog.reading() as connection:
        found = on_branch.members(connection, world.number, Standing(meant.head, meant.state.uid))
        names = [next(found).first for _ in range(3)]
    assert len(set(names)) == 3
    assert world.pages("main", "", "", 4, deleted=True) == world.pages("main", "", "", 100, deleted=True)


def test_a_cursor_of_another_branch_is_refused(world: World) -> None:
    meant, other = (world.lines.branch(name) for name in ("main", "feature"))
    page = search.versions(world.catalog, world.number, limit=1, branch=Standing(meant.head, meant.state.uid))
    for standing in (Standing(other.head, other.state.uid), None):
        with pytest.raises(UsageError, match="cursor"):
            search.versions(world.catalog, world.number, "", "", page.next, 1, branch=standing)


@pytest.mark.parametrize("branch", ["main", "crossed", "nothing"])
@pytest.mark.parametrize(("placed", "told"), [(True, 100), (True, 0), (False, 100)])
def test_what_a_branch_is_built_upon_comes_page_by_page(
    world: World, branch: str, placed: bool, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "LEAST", 1)
    head = world.lines.branch(branch).head
    ids = graph.ancestors(world.lines.history, [head] if head else [])
    firsts = {row.first for row in world.lines.history.versions(sorted(ids)).values()}
    expected = [row.first for _, row in world.lines.history.page() if row.first in firsts]

    def places(wanted: Sequence[bytes]) -> dict[bytes, int]:
        with world.catalog.reading() as connection:
            return on_branch.places(connection, world.number, wanted)

    for size in (1, 4, 100):
        begin, found = lineage.Begin(), list[bytes]()
        while True:
            built = lineage.Built(world.lines, size, places if placed else None)
            rows = list(islice(built.rows(branch, begin), size))
            found += [row.first for _, row in rows]
            if not built.open:
                break
            begin = lineage.Begin(rows[-1][0], tuple(built.open)[:told])
        assert found == expected
