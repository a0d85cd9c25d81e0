"""The arrays of numbers in UBJSON, the binary JSON of XGBoost: where each lies and what it is called.

Read is what XGBoost writes: objects, counted and open arrays, strongly typed arrays of numbers, strings, numbers
and constants. Typed objects, no-ops and numbers as text are refused.

Source: https://ubjson.org/type-reference/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.contract import Source

NUMBERS = {
    b"i": (1, "int8"),
    b"U": (1, "uint8"),
    b"I": (2, "int16"),
    b"l": (4, "int32"),
    b"L": (8, "int64"),
    b"d": (4, "float32"),
    b"D": (8, "float64"),
}
"""Marker → bytes and element type; all are big-endian."""

CONSTANTS = frozenset({b"Z", b"T", b"F"})
DEEPEST = 64
LONGEST_KEY = 1024
MOST_ITEMS = 2_000_000


class Array(NamedTuple):
    """A typed array: the keys and places that lead to it, its element type and where its elements are."""

    path: tuple[str, ...]
    dtype: str
    offset: int
    length: int
    elements: int


class _Level(msgspec.Struct):
    """A container that is being read: an object when it has a ``key``; ``left`` is None when it has no count."""

    is_object: bool
    left: int | None
    key: str = ""
    seen: int = 0


class Reader:
    """One value, read from front to back without recursion."""

    def __init__(self, source: Source) -> None:
        self._window, self._at, self._items = Window(source), 0, 0
        self._levels: list[_Level] = []

    def arrays(self) -> Iterator[Array]:
        """Every typed array, in order.

        Raises:
            Malformed: the bytes are cut, lie, nest too deeply, or go on after the value.
        """
        found = self._value(self._take(1))
        while True:
            if found:
                yield found
            found = None
            if not self._levels:
                break
            marker = self._next(self._levels[-1])
            if marker:
                found = self._value(marker)
            else:
                self._levels.pop()
        if self._at != self._window.size:
            raise Malformed(f"something follows the value that ends at byte {self._at}")

    def _next(self, level: _Level) -> bytes:
        """The marker of the next value in ``level``; empty when there is none."""
        self._items += 1
        if self._items > MOST_ITEMS:
            raise Malformed(f"more than {MOST_ITEMS} values")
        if level.left is None:
            if self._peek() == (b"}" if level.is_object else b"]"):
                self._at += 1
                return b""
        elif level.left == 0:
            return b""
        else:
            level.left -= 1
        if level.is_object:
            level.key = self._text(LONGEST_KEY)
        else:
            level.key = str(level.seen)
        level.seen += 1
        return self._take(1)

    def _value(self, marker: bytes) -> Array | None:
        """Step over a scalar or a typed array, or into a container."""
        if marker in NUMBERS:
            self._step(NUMBERS[marker][0])
        elif marker == b"C":
            self._step(1)
        elif marker == b"S":
            self._step(self._length())
        elif marker in {b"[", b"{"}:
            return self._container(marker == b"{")
        elif marker not in CONSTANTS:
            raise Malformed(f"no value begins with {marker!r}, before byte {self._at}")
        return None

    def _container(self, is_object: bool) -> Array | None:
        sign = self._peek()
        left = None
        if sign == b"$" and not is_object:
            return self._typed()
        if sign == b"#":
            self._at += 1
            left = self._length()
        if len(self._levels) >= DEEPEST:
            raise Malformed(f"more than {DEEPEST} levels")
        self._levels.append(_Level(is_object, left))
        return None

    def _typed(self) -> Array:
        self._at += 1
        marker = self._take(1)
        if marker not in NUMBERS or self._take(1) != b"#":
            raise Malformed(f"an array of a type that is not read, before byte {self._at}")
        count = self._length()
        width, dtype = NUMBERS[marker]
        offset = self._at
        self._step(count * width)
        return Array(tuple(level.key for level in self._levels), dtype, offset, count * width, count)

    def _length(self) -> int:
        marker = self._take(1)
        if marker not in NUMBERS or marker in {b"d", b"D"}:
            raise Malformed(f"{marker!r} is no length, before byte {self._at}")
        value = int.from_bytes(self._take(NUMBERS[marker][0]), "big", signed=marker != b"U")
        if value < 0:
            raise Malformed(f"a length of {value} before byte {self._at}")
        return value

    def _text(self, longest: int) -> str:
        length = self._length()
        if length > longest:
            raise Malformed(f"a key of {length} bytes at byte {self._at}")
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a key that is not UTF-8 before byte {self._at}") from error

    def _peek(self) -> bytes:
        return self._window.read(self._at, 1)

    def _take(self, length: int) -> bytes:
        value = self._window.read(self._at, length)
        self._at += length
        return value

    def _step(self, length: int) -> None:
        self._at += length
        if self._at > self._window.size:
            raise Malformed("a value goes on beyond the end of the file")
