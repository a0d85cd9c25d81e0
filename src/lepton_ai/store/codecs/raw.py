"""Raw: the bytes themselves, when nothing makes them fewer."""

from __future__ import annotations

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element


class Raw:
    """``data = plain``."""

    name = "raw"
    number = 0
    version = 1
    needs_base = False

    def encode(self, plain: Bytes, _element: Element, _base: Bytes | None, /) -> bytes:
        """The same bytes."""
        return bytes(plain)

    def decode(
        self, data: Bytes, _version: int, _element: Element, _base: Bytes | None, plain_length: int, /
    ) -> bytes:
        """The same bytes."""
        if len(data) != plain_length:
            raise Damaged(f"{len(data)} raw bytes stand for {plain_length}")
        return bytes(data)


CODEC = Raw()
