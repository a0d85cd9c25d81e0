"""A store that fails when it is told to: what stands above it must show nothing half-done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Literal, TypeAlias

from lepton_ai.errors import StorageFailed
from lepton_ai.store.contract import BlobInfo, Blobs

When: TypeAlias = Literal["before", "after"]
"""Whether a call fails without having done anything, or has done it all and only its answer is lost."""


class Faults(StorageFailed):
    """The failure that was asked for."""


class FaultyBlobs:
    """Passes calls on to ``inner``; those whose number (from 0) is in ``failing`` fail.

    Listing and deleting several fail in the middle, when they fail before they are done. Calls are counted over all
    threads in ``calls``.
    """

    def __init__(self, inner: Blobs, failing: Iterable[int] = (), when: When = "before") -> None:
        self.inner, self.failing, self.when = inner, frozenset(failing), when
        self.calls = 0
        self.failures = 0
        self._lock = Lock()

    def _turn(self) -> bool:
        """Whether the call that begins now is to fail."""
        with self._lock:
            fails = self.calls in self.failing
            self.calls += 1
            self.failures += fails
        return fails

    def _call(self, what: str, act: Callable[[], object]) -> None:
        fails = self._turn()
        if not fails or self.when == "after":
            act()
        if fails:
            raise Faults(f"{what} was to fail, {self.when} it was done")

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""
        self._call(f"put {name}", lambda: self.inner.put(name, source))

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        found: list[bytes] = []
        self._call(f"get {name}", lambda: found.append(self.inner.get(name, offset, length)))
        return found[0]

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        found: list[BlobInfo] = []
        self._call(f"info {name}", lambda: found.append(self.inner.info(name)))
        return found[0]

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``."""
        fails = self._turn()
        found = list(self.inner.list(prefix))
        yield from found[: len(found) // 2] if fails and self.when == "before" else found
        if fails:
            raise Faults(f"list {prefix} was to fail, {self.when} it was done")

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        kept = list(names)
        fails = self._turn()
        self.inner.delete(kept if self.when == "after" or not fails else kept[: len(kept) // 2])
        if fails:
            raise Faults(f"delete was to fail, {self.when} it was done")
