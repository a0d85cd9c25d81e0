"""What people, programs and the UI ask a catalog: the questions whose answers are timed."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import Any

from sqlalchemy import select

from benchmarks.catalog import leaving, making
from lepton_ai.catalog import events, on_branch, packs, repositories, search, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.on_branch import Standing
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.tables.repositories import COUNTERS
from lepton_ai.history import listing, states
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.telling import lineage

Question = Callable[[], object]
WHOLE = ("search: a word that no message has", "search: nothing fits, though much does alone")
"""What looks at every version of a repository."""
WHOLE_AT_TIMES = ("search: NOT metric < x",)
"""What does so for some values."""
LARGEST = 1
"""The number of the repository with the most versions."""


class Asker:
    """Questions about repositories, chosen as work falls on them: a repository with many versions is asked more."""

    def __init__(self, catalog: Catalog, repositories_: int, versions: int, people: int, secret: str) -> None:
        self.catalog, self.secret, self.people = catalog, secret, people
        self.sizes = making.sizes(repositories_, versions)
        self._sums = list(accumulate(self.sizes))
        self.rng = random.Random(1)
        self._lines: dict[int, making.Line] = {}
        self._small = [number for number, size in enumerate(self.sizes, 1) if size <= 500]
        self.ids = [row.id for _, row in self.history(LARGEST).page(limit=1000)]

    def some(self) -> int:
        """The number of a repository."""
        return 1 + bisect(self._sums, self.rng.randrange(self._sums[-1]))

    def history(self, number: int) -> CatalogHistory:
        return CatalogHistory(self.catalog, number)

    def day(self, share: float = 1.0) -> str:
        """A day on which the largest repository got versions, that of the newest but for the last ``share``."""
        place = max(1, int(self.sizes[0] * self.rng.random() * share))
        return str(timestamp(making.START + place * making.EVERY))[:10]

    def line(self, number: int) -> making.Line:
        """A repository's versions, made up again with those that were saved since, so that one can go on."""
        if number not in self._lines:
            query = select(COUNTERS.c.saved).where(COUNTERS.c.repository == number)
            with self.catalog.reading() as connection:
                count = connection.execute(query).scalar_one()
            line = making.Line(number, self.people)
            for _ in range(count):
                line.make()
            self._lines[number] = line
        return self._lines[number]

    def questions(self) -> dict[str, Question]:
        """Name → a question; each call asks about something else."""
        return {**self._reading(), **self._searches(), **self._history(), **self._changes()}

    def _reading(self) -> dict[str, Question]:
        return {
            "round trip (SELECT 1)": self._nothing,
            "permission check: token, repository": self._permission,
            "list repositories, 50 from anywhere": self._page_of_repositories,
            "list versions, newest 50, largest repository": lambda: self._found(LARGEST),
            "list versions, newest 50, any repository": lambda: self._found(self.some()),
            "list versions of a branch, newest 50, largest": self._of_branch,
            "list versions, page from the middle": self._from_the_middle,
            "show a version by its name, largest": self._show,
        }

    def _searches(self) -> dict[str, Question]:
        """Filters and orders, all about the repository with the most versions."""
        rng, found = self.rng, self._found
        tags = max(1, self.sizes[0] // leaving.TAGGED)

        def person() -> str:
            return f"author = '{making.person(rng.randrange(100))}'"

        def search_(where: Callable[[], str], order: str = "") -> Question:
            return lambda: found(LARGEST, where(), order)

        return {
            "search: metric > x, newest": search_(lambda: f"metrics.accuracy > {rng.uniform(0.5, 0.999)}"),
            "search: metric > x, best first": search_(
                lambda: f"metrics.accuracy > {rng.uniform(0.5, 0.99)}", "metrics.accuracy DESC"
            ),
            "search: metric > x, worst first": search_(
                lambda: f"metrics.accuracy > {rng.uniform(0.5, 0.99)}", "metrics.accuracy"
            ),
            "search: x < metric < y, newest": search_(
                lambda: f"metrics.loss > {(at := rng.random())} AND metrics.loss < {at + 0.001}"
            ),
            "search: metric > x, by another metric": search_(
                lambda: f"metrics.accuracy > {rng.uniform(0.5, 0.999)}", "metrics.loss"
            ),
            "search: metric > x AND author": search_(lambda: f"metrics.accuracy > 0.9 AND {person()}"),
            "search: author, best first": search_(person, "metrics.accuracy DESC"),
            "search: two metrics AND a param": search_(
                lambda: f"metrics.accuracy > 0.9 AND metrics.loss < {rng.random()} AND params.batch >= 256"
            ),
            "search: text among params": search_(lambda: f"params.data = 'set-{rng.randrange(50)}'"),
            "search: text among params, best first": search_(
                lambda: f"params.data = 'set-{rng.randrange(50)}'", "metrics.f1 DESC"
            ),
            "search: a tag": search_(lambda: f"tag = 'release-{rng.randrange(1, tags + 1)}'"),
            "search: all with a tag, best first": search_(lambda: "tag IS NOT NULL", "metrics.accuracy DESC"),
            "search: from a day on, oldest first": search_(lambda: f"created > {self.day()}", "created"),
            "search: up to a day, best first": search_(
                lambda: f"created < {self.day()}", "metrics.accuracy DESC"
            ),
            "search: a day AND metric > x": search_(
                lambda: f"created = {self.day()} AND metrics.accuracy > {rng.uniform(0.5, 0.99)}"
            ),
            "search: metric > x OR a tag": search_(
                lambda: f"metrics.accuracy > 0.999 OR tag = 'release-{rng.randrange(1, tags + 1)}'"
            ),
            "search: (metric OR author) AND NOT param": search_(
                lambda: f"(metrics.accuracy > 0.95 OR {person()}) AND NOT params.optimizer = 'sgd'"
            ),
            "search: NOT metric < x": search_(lambda: f"NOT metrics.accuracy < {rng.uniform(0.9, 0.999)}"),
            "search: by a param, then by a metric": search_(lambda: "", "params.batch DESC, metrics.loss"),
            "search: on a branch, metric > x, best first": lambda: self._of_branch(
                f"metrics.accuracy > {rng.uniform(0.5, 0.99)}", "metrics.accuracy DESC"
            ),
            "search: page after page, best first": self._pages("", "metrics.accuracy DESC"),
            "search: nothing fits": search_(lambda: "metrics.accuracy > 2 AND params.lr < 0.1"),
            "search: nothing fits, though much does alone": search_(
                lambda: "metrics.accuracy > 0.5 AND metrics.loss < 0.5 AND NOT EXISTS metrics.f1"
            ),
            "search: nobody of that name": search_(lambda: "author = 'nobody' AND metrics.loss > 0"),
            "search: a word that many messages have": search_(
                lambda: f"message ~ 'epoch {rng.randrange(90)} '"
            ),
            "search: a word that no message has": search_(lambda: f"message ~ 'nothing {rng.random()}'"),
            "search: alias, any repository": lambda: found(self.some(), "alias = 'production'"),
        }

    def _history(self) -> dict[str, Question]:
        rng, catalog, size = self.rng, self.catalog, self.sizes[0]
        largest = self.history(LARGEST)
        return {
            "log, newest 50 moves, largest": lambda: largest.log(limit=50),
            "log of one branch, 50, largest": lambda: largest.log("branch/main", limit=50),
            "log of one version, largest": lambda: largest.log(f"version/{rng.choice(self.ids).hex()}"),
            "graph of a branch, newest 50, largest": self._graph,
            "find by the beginning of an id": lambda: largest.find(rng.choice(self.ids).hex()[:8]),
            "packs since, 100, largest": lambda: packs.page(catalog, LARGEST, str(rng.randrange(size)), 100),
            "events since, 100, largest": lambda: events.after(catalog, LARGEST, 2 * size - 300, limit=100),
        }

    def _changes(self) -> dict[str, Question]:
        return {
            "ref move: compare-and-set of an alias": lambda: self._move(self.rng.choice(self._small)),
            "ref move in the largest repository": lambda: self._move(LARGEST),
            "save: version, index, events, log, refs": lambda: self._save(self.rng.choice(self._small)),
        }

    def _nothing(self) -> None:
        with self.catalog.reading() as connection:
            connection.exec_driver_sql("SELECT 1")

    def _permission(self) -> object:
        user, scopes = tokens.find(self.catalog, self.secret)
        number = self.some()
        return user, "read" in scopes, repositories.find(
            self.catalog, making.owner_of(number), making.name_of(number)
        )  # fmt: skip

    def _page_of_repositories(self) -> object:
        number = self.some()
        after = making.owner_of(number), making.name_of(number)
        return repositories.page(self.catalog, after=after, limit=50)

    def _found(self, number: int, where: str = "", order: str = "") -> search.Page:
        return search.versions(self.catalog, number, where, order, None, 50)

    def _of_branch(self, where: str = "", order: str = "") -> search.Page:
        with self.catalog.at_once():  # as the server does
            main = Lines(self.history(LARGEST)).branch("main")
            standing = Standing(main.head, main.state.uid)
            return search.versions(self.catalog, LARGEST, where, order, limit=50, branch=standing)

    def _graph(self) -> object:
        def places(firsts: Sequence[bytes]) -> dict[bytes, int]:
            with self.catalog.reading() as connection:
                return on_branch.places(connection, LARGEST, firsts)

        with self.catalog.at_once():
            built = lineage.Built(Lines(self.history(LARGEST)), 50, places)
            return list(islice(built.rows("main"), 50))

    def _pages(self, where: str, order: str) -> Question:
        after: list[str | None] = [None]

        def ask() -> object:
            page = search.versions(self.catalog, LARGEST, where, order, after[0], 50)
            after[0] = page.next
            return page

        return ask

    def _from_the_middle(self) -> object:
        return self.history(LARGEST).page(before=self.rng.randrange(2, self.sizes[0]), limit=50)

    def _show(self) -> object:
        with self.catalog.at_once():  # as the server does
            lines = Lines(self.history(LARGEST))
            found = lines.resolve(f"v{self.rng.randrange(1, self.sizes[0] + 1)}")
            return listing.info_of(lines, found.row), lines.history.revisions([found.row.first])

    def _move(self, number: int) -> None:
        history = self.history(number)
        ref = history.get(["alias/production"]).get("alias/production")
        newest = history.page(limit=1)[0][1].id.hex()
        label = states.LabelState(newest, self.rng.randrange(10**15), making.person(0))
        move = Move("alias/production", ref.stamp if ref else ABSENT, states.encode(label))
        history.commit(Commit(making.person(0), "move alias", moves=(move,)))

    def _save(self, number: int) -> None:
        history, line = self.history(number), self.line(number)
        made = line.make()
        branch: Any = history.get(["branch/main"])["branch/main"]
        moves = (
            Move("branch/main", branch.stamp, states.encode(line.branch())),
            Move(f"version/{made.row.id.hex()}", ABSENT, states.encode(made.state)),
        )
        history.commit(
            Commit(made.record.author, "save", moves=moves, versions=(made.row,), contents=(made.content,))
        )
