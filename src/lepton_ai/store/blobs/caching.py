"""A wrapper that keeps what was read lately in a local folder: for servers whose store is across a network.

What is kept are bytes as they are stored: sealed, where the repository is encrypted. Blobs never change, so nothing
goes stale; pages carry a checksum, so a disk that lies costs a read and no more.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from blake3 import blake3

from lepton_ai.errors import Damaged
from lepton_ai.store.contract import BlobInfo, Blobs

PAGE = 1 << 20
"""Bytes that are read and kept together."""

_SUM = 32
_ROOM = 0.9
"""Of the limit, how much may stay when the oldest pages are thrown out."""

_SHARE = 20
"""A process looks through the folder after it has written this part of the limit; several may share one."""

_MOST_SIZES = 100_000


class CachingBlobs:
    """Reads of ``inner`` by pages that stay in ``folder``, about ``limit`` bytes of them, those read lately.

    What another process deletes may still be read here for a while; asking for its ``info`` tells that it is gone.
    """

    def __init__(
        self, inner: Blobs, folder: Path, limit: int, keeps: Callable[[str], bool] = lambda _: True
    ) -> None:
        """``keeps`` says of a name whether it is worth keeping; others are read as if this were not here."""
        self._keeps = keeps
        self.inner, self._folder, self._limit = inner, folder, limit
        self._lock = Lock()
        self._sizes: dict[str, int] = {}
        self._written = limit  # so that the first page makes it look through what earlier runs have left

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""
        self.inner.put(name, source)

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob, always asked for."""
        return self.inner.info(name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``, always asked for."""
        return self.inner.list(prefix)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs, and what is kept of them."""
        gone = list(names)
        self.inner.delete(gone)
        for name in gone:
            with self._lock:
                self._sizes.pop(name, None)
            for path in self._place(name).glob("*"):
                _drop(path)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        if not self._keeps(name):
            return self.inner.get(name, offset, length)
        size = self._size(name)
        start = offset if offset >= 0 else size + offset
        if start < 0 or start + length > size:
            raise Damaged(f"{name} is cut: {length} bytes at {offset} are not all there.")
        if length == 0:
            return b""
        first, last = start // PAGE, (start + length - 1) // PAGE
        pages = {number: self._kept(name, number, size) for number in range(first, last + 1)}
        for begin, end in _runs([number for number, page in pages.items() if page is None]):
            data = self.inner.get(name, begin * PAGE, min(end * PAGE, size) - begin * PAGE)
            for number in range(begin, end):
                page = data[(number - begin) * PAGE : (number - begin + 1) * PAGE]
                pages[number] = page
                self._keep(name, number, page)
        whole = b"".join(page for page in pages.values() if page is not None)
        return whole[start - first * PAGE :][:length]

    def _size(self, name: str) -> int:
        with self._lock:
            size = self._sizes.get(name)
        if size is None:
            size = self.inner.info(name).size
            with self._lock:
                if len(self._sizes) >= _MOST_SIZES:
                    self._sizes.clear()
                self._sizes[name] = size
        return size

    def _place(self, name: str) -> Path:
        key = blake3(name.encode()).hexdigest(length=16)
        return self._folder / key[:2] / key[2:]

    def _kept(self, name: str, number: int, size: int) -> bytes | None:
        path = self._place(name) / str(number)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:  # not there, or the cache's disk is ill: the store has it
            return None
        page = data[_SUM:]
        if len(page) != min(PAGE, size - number * PAGE) or blake3(page).digest(_SUM) != data[:_SUM]:
            _drop(path)
            return None
        return page

    def _keep(self, name: str, number: int, page: bytes) -> None:
        place = self._place(name)
        aside = place / f".{secrets.token_hex(8)}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(blake3(page).digest(_SUM))
                file.write(page)
            aside.rename(place / str(number))
        except OSError:  # a full disk makes reading slower, not impossible
            _drop(aside)
            return
        with self._lock:
            self._written += len(page)
            full = self._written * _SHARE >= self._limit
            if full:
                self._written = 0
        if full:
            self._throw_out()

    def _throw_out(self) -> None:
        """Remove the pages that were not read for longest, until there is room."""
        pages = []
        for path in self._folder.glob("*/*/*"):
            with suppress(OSError):  # another process was faster
                status = path.stat()
                pages.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in pages)
        if total <= self._limit:
            return
        for _, size, path in sorted(pages):
            _drop(path)
            total -= size
            if total <= self._limit * _ROOM:
                return


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Numbers in order as half-open ranges, those side by side together."""
    while numbers:
        end = next((at for at in range(1, len(numbers)) if numbers[at] != numbers[0] + at), len(numbers))
        yield numbers[0], numbers[0] + end
        numbers = numbers[end:]


def _drop(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
