"""What an answer costs grows with the answer: counted in steps of SQLite's machine, which are the same everywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from benchmarks.catalog import filling, measuring
from lepton_ai.catalog import hooks
from lepton_ai.catalog.database import Catalog

STEP = 20


@contextmanager
def filled(url: str, repositories: int, versions: int) -> Iterator[measuring.Asker]:
    catalog = Catalog(url)
    catalog.migrate()
    hooks.attach(catalog)
    secret = filling.fill(catalog, repositories, versions, 20)
    yield measuring.Asker(catalog, repositories, versions, 20, secret)
    catalog.close()


@contextmanager
def counted(asker: measuring.Asker) -> Iterator[list[int]]:
    """Steps of SQLite's machine during the block."""
    steps = [0]

    def more() -> None:
        steps[0] += STEP

    def watch(connection: sqlite3.Connection, *_: Any) -> None:
        connection.set_progress_handler(more, STEP)

    event.listen(asker.catalog.engine, "checkout", watch)
    try:
        yield steps
    finally:
        event.remove(asker.catalog.engine, "checkout", watch)


def cost(asker: measuring.Asker, times: int = 5) -> dict[str, int]:
    found = {}
    for name, ask in asker.questions().items():
        with counted(asker) as steps:
            for _ in range(times):
                ask()
        found[name] = steps[0]
    return found


def test_an_answer_costs_what_is_in_it(tmp_path: Path) -> None:
    with (
        filled(f"sqlite:///{tmp_path}/small.db", 60, 1800) as small,
        filled(f"sqlite:///{tmp_path}/large.db", 120, 5400) as large,
    ):
        before, after = cost(small), cost(large)
    # A search looks at as many versions as its filter makes it (docs/scale.md); the benchmark tells how long.
    grown = {
        name: (cheap, after[name])
        for name, cheap in before.items()
        if not name.startswith("search") and after[name] > 1.6 * cheap + 500
    }
    assert grown == {}
    assert min(before.values()) > 0


def test_what_is_made_up_is_what_commits_write(fresh: str) -> None:
    with filled(fresh, 4, 100) as asker:
        measuring.check(asker)
        for ask in asker.questions().values():
            ask()


@pytest.mark.parametrize("versions", [1, 10, 12345])
def test_every_version_is_in_a_repository(versions: int) -> None:
    counts = measuring.making.sizes(min(10, versions), versions)
    assert sum(counts) >= versions
    assert min(counts) >= 1
