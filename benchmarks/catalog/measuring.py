"""Ask a filled catalog what people and programs ask, again and again, and tell how long each took."""

from __future__ import annotations

import random
import time
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlalchemy import event, select

from benchmarks.catalog import making
from lepton_ai.catalog import events, packs, repositories, search, search_index, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.tables import METADATA
from lepton_ai.history import states
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import ABSENT, Commit, Move

MOST = 50.0
"""Milliseconds that 99 of 100 answers may take."""


@dataclass(frozen=True)
class Timed:
    """How long one kind of question took, in milliseconds; ``own``: of it this process at work, the median."""

    name: str
    p50: float
    p99: float
    own: float
    count: int


class Asker:
    """Questions about repositories, chosen as work falls on them: a repository with many versions is asked more."""

    def __init__(self, catalog: Catalog, repositories_: int, versions: int, people: int, secret: str) -> None:
        self.catalog, self.secret, self.people = catalog, secret, people
        self.sizes = making.sizes(repositories_, versions)
        self._sums = list(accumulate(self.sizes))
        self.rng = random.Random(1)
        self._lines: dict[int, making.Line] = {}

    def some(self) -> int:
        """The number of a repository."""
        return 1 + bisect(self._sums, self.rng.randrange(self._sums[-1]))

    def history(self, number: int) -> CatalogHistory:
        return CatalogHistory(self.catalog, number)

    def line(self, number: int) -> making.Line:
        """A repository's versions, made up again so that one knows what to ask for."""
        if number not in self._lines:
            line = making.Line(number, self.people)
            for _ in range(self.sizes[number - 1]):
                line.make()
            self._lines[number] = line
        return self._lines[number]

    def questions(self) -> dict[str, Callable[[], object]]:
        """Name → a question; each call asks about something else."""
        catalog, rng = self.catalog, self.rng
        first = 1  # the repository with the most versions
        small = [number for number in range(1, len(self.sizes) + 1) if self.sizes[number - 1] <= 500]
        ids = [row.id for row in self._known()]

        def listed(number: int, where: str = "", order: str = "") -> search.Page:
            return search.versions(catalog, number, where, order, None, 50)

        def permission() -> object:
            user, scopes = tokens.find(catalog, self.secret)
            number = self.some()
            row = repositories.find(catalog, making.owner_of(number), making.name_of(number))
            return user, "read" in scopes, row

        def show() -> object:
            history, one = self.history(first), rng.choice(ids)
            row = history.versions([one])[one]
            record = parse_record(row.record, one)
            digests = [bytes.fromhex(entry.sha256) for entry in record.files]
            return (
                history.get([f"version/{one.hex()}"]),
                history.revisions([row.first]),
                history.contents(digests),
            )

        def page_of_repositories() -> object:
            number = self.some()
            after = making.owner_of(number), making.name_of(number)
            return repositories.page(catalog, after=after, limit=50)

        return {
            "round trip (SELECT 1)": self._nothing,
            "permission check: token, repository": permission,
            "list repositories, 50 from anywhere": page_of_repositories,
            "list versions, newest 50, largest repository": lambda: listed(first),
            "list versions, newest 50, any repository": lambda: listed(self.some()),
            "list versions, page from the middle": lambda: self.history(first).page(
                before=rng.randrange(2, self.sizes[0]), limit=50
            ),
            "search: metric > x AND author, largest": lambda: listed(
                first, f"metrics.accuracy > 0.9 AND author = '{making.person(rng.randrange(100))}'"
            ),
            "search: metric > x, best first, largest": lambda: listed(
                first, f"metrics.accuracy > {rng.uniform(0.5, 0.99)}", "metrics.accuracy DESC"
            ),
            "search: text among params, largest": lambda: listed(
                first, f"params.data = 'set-{rng.randrange(50)}'"
            ),
            "search: nothing fits, largest": lambda: listed(
                first, "metrics.accuracy > 2 AND params.lr < 0.1"
            ),
            "search: nobody of that name, largest": lambda: listed(
                first, "author = 'nobody' AND metrics.loss > 0"
            ),
            "search: alias, any repository": lambda: listed(self.some(), "alias = 'production'"),
            "log, newest 50 moves, largest": lambda: self.history(first).log(limit=50),
            "log of one branch, 50, largest": lambda: self.history(first).log("branch/main", limit=50),
            "log of one version, largest": lambda: self.history(first).log(
                f"version/{rng.choice(ids).hex()}"
            ),
            "show a version": show,
            "find by the beginning of an id": lambda: self.history(first).find(rng.choice(ids).hex()[:8]),
            "find by name": lambda: self.history(self.some()).named(f"v{rng.randrange(1, 100)}"),
            "packs since, 100, largest": lambda: packs.page(
                catalog, first, str(rng.randrange(self.sizes[0])), 100
            ),
            "events since, 100, largest": lambda: events.after(
                catalog, first, 2 * self.sizes[0] - 300, limit=100
            ),
            "ref move: compare-and-set of an alias": lambda: self._move(rng.choice(small)),
            "save: version, index, events, log, refs": lambda: self._save(rng.choice(small)),
        }

    def _known(self) -> list[Any]:
        return [row for _, row in self.history(1).page(limit=1000)]

    def _nothing(self) -> None:
        with self.catalog.reading() as connection:
            connection.exec_driver_sql("SELECT 1")

    def _move(self, number: int) -> None:
        history = self.history(number)
        ref = history.get(["alias/production"]).get("alias/production")
        label = states.LabelState(
            history.page(limit=1)[0][1].id.hex(), self.rng.randrange(10**15), "person-0000"
        )
        move = Move("alias/production", ref.stamp if ref else ABSENT, states.encode(label))
        history.commit(Commit("person-0000", "move alias", moves=(move,)))

    def _save(self, number: int) -> None:
        history, line = self.history(number), self.line(number)
        made = line.make()
        branch = history.get(["branch/main"])["branch/main"]
        moves = (
            Move("branch/main", branch.stamp, states.encode(line.branch())),
            Move(f"version/{made.row.id.hex()}", ABSENT, states.encode(made.state)),
        )
        history.commit(
            Commit(made.record.author, "save", moves=moves, versions=(made.row,), contents=(made.content,))
        )


def measure(name: str, ask: Callable[[], object], count: int) -> Timed:
    """Ask ``count`` times, after some to warm up."""
    for _ in range(min(10, count)):
        ask()
    taken, own = [], []
    for _ in range(count):
        begun, used = time.perf_counter(), time.process_time()
        ask()
        taken.append((time.perf_counter() - begun) * 1000)
        own.append((time.process_time() - used) * 1000)
    taken.sort()
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    return Timed(name, taken[len(taken) // 2], p99, sorted(own)[len(own) // 2], count)


def check(asker: Asker) -> None:
    """See that what was filled in is what commits write: the index, rebuilt from the refs, is the same."""
    number = min(range(1, len(asker.sizes) + 1), key=lambda one: abs(asker.sizes[one - 1] - 30))
    tables = [table for name, table in METADATA.tables.items() if name.startswith("search_")]

    def rows() -> list[list[tuple[Any, ...]]]:
        with asker.catalog.reading() as connection:
            return [
                sorted(
                    map(tuple, connection.execute(select(table).where(table.c.repository == number))),
                    key=repr,
                )
                for table in tables
            ]

    before = rows()
    assert search_index.rebuild(asker.catalog, number) == asker.sizes[number - 1]
    assert rows() == before, "the made-up index is not what the hook writes"


def explained(catalog: Catalog, ask: Callable[[], object]) -> list[str]:
    """What PostgreSQL does for one question: each statement that reads, with its plan and times."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if (
            statement.startswith("SELECT")
            and "FROM" in statement
            and "FOR NO KEY" not in statement
            and not many
        ):
            asked.append((statement, values))

    event.listen(catalog.engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(catalog.engine, "before_cursor_execute", note)
    told = []
    for statement, values in asked:
        with catalog.reading() as connection:
            plan = connection.exec_driver_sql("EXPLAIN (ANALYZE, BUFFERS) " + statement, values)
            told.append(statement + "\n    " + "\n    ".join(row[0] for row in plan))
    return told
