"""The arrays of numbers in a JSON text: where each lies and what it is called. Nothing else is kept of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lepton_ai.formats.contract import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lepton_ai.formats.contract import Source

PIECE = 262_144
LONGEST_TOKEN = 1 << 24
DEEPEST = 64
LONGEST_KEY = 1024
MOST_TOKENS = 1_000_000

SPACE = re.compile(rb"[ \t\r\n]*+")
STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\[\s\S]?)*+"?')
NUMBERS = re.compile(rb"\[[-+0-9.eE, \t\r\nNaInfity]*+\]?")
WORD = re.compile(rb"[-+.0-9A-Za-z]++")
SIGN = re.compile(rb"[\[\]{},:]")
VALUE = re.compile(rb"true|false|null|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


class Array(NamedTuple):
    """An array of numbers: the keys and places that lead to it, and the text between its brackets."""

    path: tuple[str, ...]
    offset: int
    length: int
    elements: int
    whole: bool


class _Level(msgspec.Struct):
    is_object: bool
    key: str = ""
    seen: int = 0


class Reader:
    """A JSON text, read from front to back without recursion."""

    def __init__(self, source: Source) -> None:
        self._source, self._buffer, self._start, self._at = source, b"", 0, 0
        self._levels: list[_Level] = []

    def arrays(self) -> Iterator[Array]:
        """Every array of numbers, in order; empty ones too.

        Raises:
            Malformed: the text is no JSON, is cut, or nests too deeply.
        """
        begun = False  # a container may end before its first item only
        for _ in range(MOST_TOKENS):
            token = self._token()
            if begun and token == (b"}" if self._levels[-1].is_object else b"]"):
                self._levels.pop()
            else:
                if self._levels:
                    token = self._item(token)
                if array := self._array(token):
                    yield array
                elif token in {b"{", b"["}:
                    self._levels.append(_Level(token == b"{"))
                    if len(self._levels) > DEEPEST:
                        raise Malformed(f"more than {DEEPEST} levels")
                    begun = True
                    continue
                elif not token.startswith(b'"') and not VALUE.fullmatch(token):
                    raise Malformed(f"no value ends at byte {self._place()}")
            begun = False
            self._close()
            if not self._levels:
                if self._token():
                    raise Malformed(f"something follows the value, before byte {self._place()}")
                return
        raise Malformed(f"more than {MOST_TOKENS} values")

    def _item(self, token: bytes) -> bytes:
        """Note the key or place of an item that ``token`` begins; the first token of its value."""
        level = self._levels[-1]
        level.seen += 1
        level.key = str(level.seen - 1)
        if not level.is_object:
            return token
        if not token.startswith(b'"') or len(token) > LONGEST_KEY:
            raise Malformed(f"no key ends at byte {self._place()}")
        try:
            level.key = json.loads(token)
        except ValueError as error:
            raise Malformed(f"no key ends at byte {self._place()}") from error
        if self._token() != b":":
            raise Malformed(f"a key without a value before byte {self._place()}")
        return self._token()

    def _array(self, token: bytes) -> Array | None:
        if len(token) < 2 or not token.startswith(b"["):
            return None
        text = token[1:-1]
        count = text.count(b",") + 1 if text.strip() else 0
        whole = not re.search(rb"[.eENI]", text)
        path = tuple(level.key for level in self._levels)
        return Array(path, self._place() - 1 - len(text), len(text), count, whole)

    def _close(self) -> None:
        """Step out of the containers that end here, and over the comma before the next item."""
        while self._levels:
            token = self._token()
            if token == b",":
                return
            if token != (b"}" if self._levels[-1].is_object else b"]"):
                raise Malformed(f"an item without an end before byte {self._place()}")
            self._levels.pop()

    def _place(self) -> int:
        return self._start + self._at

    def _token(self) -> bytes:
        """The next token, whole; a list of numbers is one. Empty at the end of the text."""
        self._match(SPACE)
        first = self._buffer[self._at : self._at + 1]
        if first == b"[":
            token = self._match(NUMBERS)
            if not token.endswith(b"]"):
                self._at -= len(token) - 1
                token = b"["
        elif first == b'"':
            token = self._match(STRING)
            if len(token) < 2 or not token.endswith(b'"'):
                raise Malformed(f"a text without an end before byte {self._place()}")
        else:
            token = self._match(SIGN) or self._match(WORD)
            if first and not token:
                raise Malformed(f"no JSON at byte {self._place()}")
        return token

    def _match(self, pattern: re.Pattern[bytes]) -> bytes:
        """What ``pattern`` matches here; more is read while it reaches the end of what has been."""
        while True:
            found = pattern.match(self._buffer, self._at)
            ended = self._start + len(self._buffer) == self._source.size
            if ended or (self._at < len(self._buffer) and not (found and found.end() == len(self._buffer))):
                break
            self._more()
        if found is None:
            return b""
        self._at = found.end()
        return found[0]

    def _more(self) -> None:
        rest = self._buffer[self._at :]
        if len(rest) > LONGEST_TOKEN:
            raise Malformed(f"something longer than {LONGEST_TOKEN} bytes at byte {self._place()}")
        self._start, self._at = self._place(), 0
        end = self._start + len(rest)
        self._buffer = rest + self._source.read(end, min(max(PIECE, len(rest)), self._source.size - end))
