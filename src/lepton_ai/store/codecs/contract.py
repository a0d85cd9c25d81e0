"""What a codec promises."""

from __future__ import annotations

from typing import NamedTuple, Protocol

Bytes = bytes | bytearray | memoryview


class Element(NamedTuple):
    """The type of a block's numbers: its number in the table of elements and its width in bytes."""

    number: int
    width: int


class Codec(Protocol):
    """Turns plain bytes into fewer and back. ``decode(encode(x)) == x`` for any bytes and any element."""

    @property
    def name(self) -> str:
        """For people: "raw", "planes" …"""

    @property
    def number(self) -> int:
        """Stands in object headers: part of the format, never reused."""

    @property
    def version(self) -> int:
        """The version that ``encode`` writes; ``decode`` reads it and all before."""

    @property
    def needs_base(self) -> bool:
        """Whether the result can be decoded only with the base's plain bytes."""

    def encode(self, plain: Bytes, element: Element, base: Bytes | None, /) -> bytes | None:
        """Fewer bytes that stand for ``plain``, or None when this codec has nothing to offer for them."""

    def decode(
        self, data: Bytes, version: int, element: Element, base: Bytes | None, plain_length: int, /
    ) -> Bytes:
        """The ``plain_length`` plain bytes. Allocates a small multiple of ``plain_length`` at most.

        Raises:
            Damaged: ``data`` was not made by ``encode``.
        """
