"""Who follows what happens in repositories: one question a moment for all of them, however many there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from lepton_ai.catalog import events
from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import LeptonError

PAUSE = 0.5
"""Seconds between two questions to the database."""


class Following:
    """The newest event of every repository that somebody follows, and a bell that rings when one has grown."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._followed: Counter[int] = Counter()
        self._heads: dict[int, int] = {}
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def of(self, repository: int) -> AsyncIterator[None]:
        """Let :meth:`wait` hear of ``repository`` during the block."""
        self._followed[repository] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask())
        try:
            yield
        finally:
            self._followed[repository] -= 1
            if not self._followed[repository]:
                del self._followed[repository]
                self._heads.pop(repository, None)

    async def wait(self, repository: int, number: int, seconds: float) -> bool:
        """Whether there is an event behind ``number``, waiting for one at most so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._heads.get(repository, 0) <= number:
            rung = self._rung
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), left)
        return True

    async def _ask(self) -> None:
        while self._followed:
            with contextlib.suppress(LeptonError):  # a database that is away for a moment is asked again
                self._heads = await run_in_threadpool(events.heads, self._catalog, list(self._followed))
                rung, self._rung = self._rung, asyncio.Event()
                rung.set()
            await asyncio.sleep(PAUSE)
