"""A Source with some of its runs replaced: the whole is never in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from lepton_ai.formats.contract import Source, check_range
from lepton_ai.formats.splice.contract import Edit


class Edited:
    """The bytes of ``base`` after ``edits``, which must not overlap.

    Raises:
        ValueError: they do (a bug of whoever made them).
    """

    def __init__(self, base: Source, edits: Iterable[Edit]) -> None:
        self._starts: list[int] = []
        self._runs: list[tuple[Source, int]] = []
        self._size = at = 0
        for edit in sorted(edits, key=lambda edit: (edit.offset, edit.length)):
            if edit.offset < at or edit.length < 0 or edit.offset + edit.length > base.size:
                raise ValueError(
                    f"an edit of {edit.length} bytes at {edit.offset} meets another, or none of the file"
                )
            self._add(base, at, edit.offset - at)
            self._add(edit.new, 0, edit.new.size)
            at = edit.offset + edit.length
        self._add(base, at, base.size - at)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self._size)
        parts: list[bytes] = []
        number, end = bisect_right(self._starts, offset) - 1, offset + length
        while offset < end:
            source, place = self._runs[number]
            start = self._starts[number]
            stop = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
            count = min(stop, end) - offset
            parts.append(source.read(place + offset - start, count))
            offset, number = offset + count, number + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _add(self, source: Source, place: int, length: int) -> None:
        if length:
            self._starts.append(self._size)
            self._runs.append((source, place))
            self._size += length
