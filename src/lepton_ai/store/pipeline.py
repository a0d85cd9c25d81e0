"""Work on blocks with both cores, in order, with a bounded number in flight."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from hashlib import _Hash

T = TypeVar("T")
R = TypeVar("R")

WORKERS = max(1, min(4, os.cpu_count() or 1))
_AHEAD = 2
"""Items that wait for each worker, besides the one that it works on."""

_BEHIND = 6


class Pool:
    """Threads for one operation; leaving it waits for what runs and drops what waits."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._ahead = workers * _AHEAD
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="lepton-ai")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what waits, wait for what runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """``work`` on every item, results in order. Items are taken in the caller's thread, a few ahead.

        The first error ends it; nothing of it runs any more when that error is seen.
        """
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(self._threads.submit(work, item))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            for future in waiting:
                if not future.cancelled():
                    with suppress(Exception):  # the first error is the one that counts
                        future.result()


def portions(
    items: Iterable[T], size: Callable[[T], int], most: int, number: int | None = None
) -> Iterator[list[T]]:
    """The items in order, in groups of at most ``most`` in ``size`` and ``number`` items, or of one that is larger."""
    group: list[T] = []
    total = 0
    for item in items:
        if group and (total + size(item) > most or len(group) == number):
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group


class Background:
    """A thread that works beside the others, in order; at most six pieces of work wait for it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: deque[Future[None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Do this next; waits when the thread is behind, and raises what an earlier piece of work raised."""
        self._waiting.append(self._thread.submit(work))
        if len(self._waiting) > _BEHIND:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Wait until everything is done; raises what it raised."""
        while self._waiting:
            self._waiting.popleft().result()
        self.close()

    def close(self) -> None:
        """Drop what waits, and let the thread go."""
        self._thread.shutdown(wait=True, cancel_futures=True)


class Digest:
    """SHA-256 in a thread of its own, alongside."""

    def __init__(self, begun: tuple[_Hash, int] | None = None) -> None:
        """``begun``: a hash, and how many of the first bytes are in it already."""
        self._hash, self._known = begun or (hashlib.sha256(), 0)
        self._thread = Background("lepton-ai-sha256")

    def update(self, data: bytes) -> None:
        """Take the next bytes; waits when the thread is behind."""
        known = min(self._known, len(data))
        self._known -= known
        if known < len(data):
            self._thread.add(partial(self._hash.update, memoryview(data)[known:] if known else data))

    def finish(self) -> bytes:
        """The digest of everything."""
        self._thread.finish()
        return self._hash.digest()

    def close(self) -> None:
        """Let the thread go."""
        self._thread.close()
