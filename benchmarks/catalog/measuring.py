"""Ask a filled catalog what people and programs ask, again and again, and tell how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from lepton_ai.catalog.as_written import in_steps
from lepton_ai.catalog.database import Catalog

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


def explained(catalog: Catalog, ask: Callable[[], object]) -> list[str]:
    """What PostgreSQL does for one question: each statement that reads, with its plan and times."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if (
            statement.startswith(("SELECT", "WITH"))
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
            in_steps(connection)
            plan = connection.exec_driver_sql("EXPLAIN (ANALYZE, BUFFERS) " + statement, values)
            told.append(statement + "\n    " + "\n    ".join(row[0] for row in plan))
    return told
