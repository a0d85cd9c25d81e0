"""What a seal promises."""

from __future__ import annotations

from typing import Protocol

Bytes = bytes | bytearray | memoryview

KEY_SIZE = 32


class Seal(Protocol):
    """Makes a payload unreadable, or at least unchangeable. ``open(seal(x)) == x``; methods are thread-safe."""

    @property
    def number(self) -> int:
        """Stands in object headers: part of the format, never reused."""

    @property
    def key_id(self) -> bytes:
        """Eight bytes that name the key; zeros when there is none."""

    @property
    def overhead(self) -> int:
        """Bytes that the body is longer than the payload."""

    def seal(self, payload: Bytes, associated: bytes) -> tuple[bytes, ...]:
        """The body, in parts to be joined; ``associated`` is authenticated with it."""

    def open(self, body: Bytes, associated: bytes) -> Bytes:
        """The payload.

        Raises:
            Damaged: body or associated bytes are not those that were sealed.
        """
