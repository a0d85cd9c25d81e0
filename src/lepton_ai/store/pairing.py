"""Which block of older content a new block is compared with. Made once, and used for every file that may need it."""

from __future__ import annotations

from collections.abc import Iterable

from lepton_ai.store.blocks.span import block_sizes
from lepton_ai.store.contract import ID_SIZE, OPAQUE, Content, Stream


class Pairing:
    """Blocks at the same place of the stream of the same name and type; of several, the first content's. Thread-safe.

    ``rest`` is asked for what these lack, opaque bytes excepted: those resemble only their own file's.
    """

    def __init__(self, contents: Iterable[Content], rest: Pairing | None = None) -> None:
        self._streams: dict[tuple[str, str], tuple[Stream, int]] = {}
        self._starts: dict[tuple[str, str], tuple[int, ...] | range] = {}
        self._lent: set[tuple[str, str]] = set()
        self._rest = rest
        for content in contents:
            for stream in content.streams:
                self._streams.setdefault((stream.key, stream.dtype), (stream, content.block_size))

    def for_one_file(self) -> Pairing:
        """The same, for one file: what is lent to it is not lent to others."""
        same = Pairing([], self._rest)
        same._streams, same._starts = dict(self._streams), self._starts.copy()
        return same

    def has(self, key: str, dtype: str, length: int) -> bool:
        """Whether there is a stream of this name, type and length in bytes."""
        found = self.partner(key, dtype)
        return found is not None and found.length == length

    def partner(self, key: str, dtype: str) -> Stream | None:
        """The stream that a new one of this name and type is compared with, unless it was lent."""
        found = self._streams.get((key, dtype))
        if found is None:
            return self._rest.partner(key, dtype) if self._rest and key != OPAQUE else None
        return None if (key, dtype) in self._lent else found[0]

    def lend(self, key: str, dtype: str, stream: Stream, block_size: int) -> None:
        """Compare a stream of this name with one from elsewhere, which stays as it is."""
        self._streams[key, dtype] = (stream, block_size)
        self._lent.add((key, dtype))

    def is_own(self, key: str, dtype: str) -> bool:
        """Whether what it is compared with is the parent's, and not lent."""
        return (key, dtype) not in self._lent

    def block(self, key: str, dtype: str, number: int, length: int) -> bytes | None:
        """The id of the block of the base, when it is ``length`` bytes long as well."""
        found = self._streams.get((key, dtype))
        if found is None:
            return self._rest.block(key, dtype, number, length) if self._rest and key != OPAQUE else None
        stream, block_size = found
        if (number + 1) * ID_SIZE > len(stream.blocks):
            return None
        starts = self._starts.get((key, dtype))
        if starts is None:  # once: it adds up all blocks of a stream that was cut by content
            starts = self._starts[key, dtype] = block_sizes(stream, block_size)
        if min(starts[number + 1], stream.length) - starts[number] != length:
            return None
        return stream.blocks[number * ID_SIZE : (number + 1) * ID_SIZE]
