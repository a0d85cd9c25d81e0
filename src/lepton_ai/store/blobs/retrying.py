"""A wrapper that tries again, a little later each time, when a store failed for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from lepton_ai.errors import StorageFailed
from lepton_ai.store.contract import BlobInfo, Blobs, Refused

T = TypeVar("T")

TRIES = 5
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0


class RetryingBlobs:
    """Passes everything on to ``inner``, up to ``tries`` times; what will not get better is not repeated.

    Every call may be repeated: a blob is put as a whole or not at all, and deleting what is gone is no error.
    """

    def __init__(
        self, inner: Blobs, tries: int = TRIES, wait: Callable[[float], object] = time.sleep
    ) -> None:
        """``wait`` is given the seconds until the next try."""
        self.inner, self._tries, self._wait = inner, tries, wait

    def _pause(self, tried: int, error: StorageFailed) -> None:
        """Wait before the next try, or raise ``error`` when there is none."""
        if tried >= self._tries or isinstance(error, Refused):
            raise error
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2**tried)
        self._wait(random.uniform(longest / 2, longest))  # noqa: S311  (only so that not all come at once)

    def _again(self, act: Callable[[], T]) -> T:
        tried = 0
        while True:
            try:
                return act()
            except StorageFailed as error:
                tried += 1
                self._pause(tried, error)

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""

        def act() -> None:
            try:
                self.inner.put(name, source)
            except StorageFailed as error:
                if source.exists():
                    raise
                # It was taken, but perhaps is not durable yet: only who keeps it knows.
                raise Refused(error.message, hint=error.hint) from error

        self._again(act)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        return self._again(lambda: self.inner.get(name, offset, length))

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        return self._again(lambda: self.inner.info(name))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``, each once."""
        told: set[str] = set()
        tried = 0
        while True:
            try:
                for info in self.inner.list(prefix):
                    if info.name not in told:
                        told.add(info.name)
                        tried = 0  # it goes forward
                        yield info
            except StorageFailed as error:
                tried += 1
                self._pause(tried, error)
            else:
                return

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        kept = list(names)
        self._again(lambda: self.inner.delete(kept))
