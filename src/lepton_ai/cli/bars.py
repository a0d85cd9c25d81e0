"""Progress on a terminal, for what takes longer than a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lepton_ai.progress import SILENT, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PATIENCE = 1.0
"""Seconds after which a task gets a bar."""


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Progress]:
    """A Progress that draws on stderr; silent when ``quiet`` or when stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield SILENT
        return
    drawn = Bars()
    try:
        yield drawn
    finally:
        drawn.stop()


class Bars:
    """A bar for one task at a time; it appears when the task has run for a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._task, self._total, self._done, self._since = "", 0, 0, 0.0
        self._drawn: tuple[RichProgress, TaskID] | None = None

    def start(self, task: str, total: int) -> None:
        """A task of ``total`` bytes begins."""
        with self._lock:
            self._clear()
            self._task, self._total, self._done, self._since = task, total, 0, time.monotonic()

    def advance(self, amount: int) -> None:
        """``amount`` bytes more are done."""
        with self._lock:
            self._done += amount
            if self._drawn is None:
                if not self._task or time.monotonic() - self._since < PATIENCE:
                    return
                self._drawn = self._draw()
            bar, number = self._drawn
            bar.update(number, completed=self._done)

    def stop(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._clear()
            self._task = ""

    def _clear(self) -> None:
        if self._drawn is not None:
            self._drawn[0].stop()
            self._drawn = None

    def _draw(self) -> tuple[RichProgress, TaskID]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # what is printed there belongs there, also when it is a pipe
            redirect_stderr=False,
        )
        bar.start()
        return bar, bar.add_task(self._task, total=self._total or None)
