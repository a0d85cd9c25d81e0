"""What an answer costs grows with the answer: counted in steps of SQLite's machine, which are the same everywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import event

from benchmarks.catalog import drawing, filling, fitting, making
from benchmarks.catalog.asking import WHOLE, WHOLE_AT_TIMES, Asker
from lepton_ai.catalog import hooks
from lepton_ai.catalog.database import Catalog

STEP = 20


@contextmanager
def filled(url: str, repositories: int, versions: int) -> Iterator[Asker]:
    catalog = Catalog(url)
    catalog.migrate()
    hooks.attach(catalog)
    secret = filling.fill(catalog, repositories, versions, 20)
    yield Asker(catalog, repositories, versions, 20, secret)
    catalog.close()


@contextmanager
def counted(asker: Asker) -> Iterator[list[int]]:
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


def cost(asker: Asker, times: int = 5) -> dict[str, int]:
    found = {}
    for name, ask in asker.questions().items():
        # A search looks at as many versions as its filter makes it (docs/scale.md); the benchmark tells how long.
        if name.startswith("search"):
            continue
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
    grown = {name: (cheap, after[name]) for name, cheap in before.items() if after[name] > 1.6 * cheap + 500}
    assert grown == {}
    assert min(before.values()) > 0


def test_what_is_made_up_is_what_commits_write(fresh: str) -> None:
    with filled(fresh, 4, 100) as asker:
        filling.check(asker.catalog, asker.sizes)
        for ask in asker.questions().values():
            ask()


@pytest.mark.parametrize("versions", [1, 10, 12345])
def test_every_version_is_in_a_repository(versions: int) -> None:
    counts = making.sizes(min(10, versions), versions)
    assert sum(counts) >= versions
    assert min(counts) >= 1


def test_what_was_not_measured_is_what_the_fit_says() -> None:
    index = fitting.logarithm([(1e4, 4.0), (1e5, 5.1), (1e6, 5.9)])
    assert index is not None
    assert 7.4 < index.at(1e8) < 8.2
    falling = fitting.logarithm([(1e4, 9.0), (1e5, 7.0), (1e6, 7.0)])
    assert falling is not None
    assert falling.at(1e4) == falling.at(1e8)
    assert fitting.logarithm([(1e4, 13.0), (1e5, 151.0), (1e6, 16.0)]) is None
    assert fitting.proportional([(1e4, 2.1), (1e5, 3.0), (1e6, 12.0)]).at(1e8) == pytest.approx(1200)


@pytest.mark.parametrize(
    ("name", "medians", "beyond"),
    [
        ("count", (3.0, 3.0, 3.0), "| *3 / 6* | *3 / 6* |"),
        ("count", (13.0, 151.0, 16.0), "| *–* | *–* |"),
        (WHOLE[0], (1.0, 2.0, 10.0), "| *100 / 200* | *1000 / 2000* |"),
        (WHOLE_AT_TIMES[0], (3.0, 3.0, 3.0), "| *–* | *–* |"),
    ],
)
def test_what_is_said_of_sizes_beyond(name: str, medians: tuple[float, ...], beyond: str) -> None:
    sizes = [
        {
            "versions": n,
            "largest": 1,
            "rows": 1,
            "bytes": 1,
            "timed": [{"name": name, "p50": p50, "p99": 2 * p50}],
        }
        for n, p50 in zip((10_000, 100_000, 1_000_000), medians, strict=True)
    ]
    assert beyond in drawing.page({"machine": "2 cores", "at": "2026-11-22", "sizes": sizes})


def test_the_page_tells_what_was_measured_from_what_was_not(tmp_path: Path) -> None:
    names = [*drawing.SHOWN, "count"]
    sizes = [
        {"versions": n, "largest": n // 15, "rows": 20 * n, "bytes": 6000 * n,
         "timed": [{"name": name, "p50": 3.0, "p99": 4.0} for name in names]}
        for n in (10_000, 100_000, 1_000_000)
    ]  # fmt: skip
    told = {"machine": "2 cores", "at": "2026-11-22", "sizes": sizes}
    page = tmp_path / "scale.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")
    drawing.put(told, page)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert "| count | 3.0 / 4.0 | 3.0 / 4.0 | 3.0 / 4.0 | *3 / 4* | *3 / 4* |" in lines
    assert lines[0] == "before"
    assert "old" not in lines
    drawn = ElementTree.parse(tmp_path / "scale.svg")
    assert len(drawn.findall("{*}circle")) == 3 * len(drawing.SHOWN)
    assert "dashed: not measured" in (tmp_path / "scale.svg").read_text(encoding="utf-8")
