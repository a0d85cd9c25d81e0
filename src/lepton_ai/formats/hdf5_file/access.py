"""Bounded reading of a file by HDF5 addresses, and a cursor over the bytes that were read."""

from __future__ import annotations

from lepton_ai.formats.contract import Malformed, Source

MOST_HEADER_BYTES = 256 << 20
"""More than this is never read of headers, however large the file is."""

MOST_STEPS, FREE_STEPS = 3_000_000, 200_000
"""So many messages, links and chunks at most are looked at, and one for each byte beyond the free ones."""

MOST_CHUNKS, FREE_CHUNKS, BYTES_PER_CHUNK = 200_000, 20_000, 64
"""A chunk costs half a KiB of memory to describe: datasets of very many and very small ones are better left alone."""


class Unreadable(Exception):
    """One dataset is of a kind that is kept as opaque bytes; the rest of the file is fine."""


class Access:
    """Reads by address, within a budget, and remembers what was visited.

    Addresses count from ``base`` (behind a user block). The budget makes every walk linear in the file's
    size: cycles, and headers that claim to be huge again and again, run out of it.
    """

    def __init__(self, source: Source, base: int, address_size: int, length_size: int) -> None:
        self.source, self.base = source, base
        self.address_size, self.length_size = address_size, length_size
        self.size = source.size - base
        self._steps = min(MOST_STEPS, FREE_STEPS + source.size)
        self.chunks_left = min(MOST_CHUNKS, FREE_CHUNKS + source.size // BYTES_PER_CHUNK)
        self._budget = min(2 * source.size, MOST_HEADER_BYTES) + 32768
        self._visited: set[tuple[str, int]] = set()

    def read(self, address: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``address``.

        Raises:
            Malformed: outside of the file, or the file sends its reader in circles.
        """
        self._budget -= length + 8
        if self._budget < 0:
            raise Malformed("its headers point to each other again and again")
        return self.source.read(self.base + address, length)

    def step(self, count: int) -> None:
        """Count ``count`` more messages, links or chunks."""
        self._steps -= count
        if self._steps < 0:
            raise Malformed("it has more parts than a model needs")

    def cursor(self, address: int, length: int) -> Cursor:
        """A cursor over ``length`` bytes from ``address``."""
        return Cursor(self.read(address, length), self.address_size, self.length_size)

    def visit(self, kind: str, address: int) -> None:
        """Raise Malformed when a ``kind`` of block at ``address`` is come upon a second time."""
        if (kind, address) in self._visited:
            raise Malformed(f"the {kind} at {address} is its own descendant")
        self._visited.add((kind, address))


class Cursor:
    """Takes little-endian numbers off the front of some bytes; Malformed when they run out."""

    def __init__(self, data: bytes, address_size: int = 8, length_size: int = 8) -> None:
        self.data, self.place = data, 0
        self.address_size, self.length_size = address_size, length_size

    @property
    def left(self) -> int:
        """Bytes that have not been taken."""
        return len(self.data) - self.place

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.place + count
        if count < 0 or end > len(self.data):
            raise Malformed(f"a header of {len(self.data)} bytes ends before its contents do")
        part = self.data[self.place : end]
        self.place = end
        return part

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        self.take(count)

    def number(self, width: int) -> int:
        """The next ``width`` bytes (at most 8) as an unsigned number."""
        if width > 8:
            raise Malformed(f"a number of {width} bytes")
        return int.from_bytes(self.take(width), "little")

    def length(self) -> int:
        """A number of the width that the file uses for lengths."""
        return self.number(self.length_size)

    def address(self) -> int | None:
        """An address; None when it says "undefined" (all bits set)."""
        value = self.number(self.address_size)
        return None if value == (1 << (8 * self.address_size)) - 1 else value

    def expect(self, signature: bytes, version: int | None = None) -> None:
        """Raise Malformed unless ``signature`` (and a byte with ``version``) come next."""
        found = self.take(len(signature))
        if found != signature:
            raise Malformed(f"{found!r} where {signature!r} must stand")
        if version is not None and (other := self.number(1)) != version:
            raise Malformed(f"version {other} of {signature.decode()} is not known here")

    def name(self, limit: int, padded_to: int = 1) -> bytes:
        """A name of at most ``limit`` bytes that ends with a zero byte, padded to ``padded_to`` bytes."""
        end = self.data.find(b"\0", self.place, self.place + limit + 1)
        if end < 0:
            raise Malformed("a name has no end")
        found = self.take(end - self.place)
        self.skip(-(len(found) + 1) % padded_to + 1)
        return found
