"""Tiles: weights, or their differences to a base, entropy-coded with the local scale as context.

Training moves neighbouring weights by about as much, each in its own value; how many units in the last place that is
follows from the weight's exponent. So every tile of 128 numbers states its scale, and the token of a number is coded
with the probabilities that belong to (scale of the tile) / (exponent of the base's number). Tiles that all shrink in
proportion (weight decay without a gradient) are predicted from the base's mantissa. Without a base the exponents are
coded, with the tile's scale as context. docs/decisions/0008-tiles.md has what was measured.

The layout is in docs/format.md. Source: J. Duda, "Asymmetric numeral systems", 2013, arXiv:1311.2540; F. Giesen,
"Interleaved entropy coders", 2014, arXiv:1402.3392.
"""

from __future__ import annotations

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs import tiles_slowly
from lepton_ai.store.codecs.contract import Bytes, Element
from lepton_ai.store.codecs.native import MOST, kernel
from lepton_ai.store.codecs.tiles_head import HEAD

FLOATS = {
    10: (10, 5),
    11: (7, 8),
    12: (23, 8),
    13: (52, 11),
    14: (23, 8),  # a complex number is two floats
    15: (52, 11),
    16: (3, 4),
    17: (2, 5),
    18: (3, 4),
    19: (2, 5),
}
"""Bits of mantissa and exponent by element number; everything else is integers."""


def shape(element: Element) -> tuple[int, int, int]:
    """Width in bytes, bits of mantissa, bits of exponent of the numbers that a block is seen as."""
    mantissa, exponent = FLOATS.get(element.number, (0, 0))
    return ((1 + mantissa + exponent) // 8 if exponent else element.width), mantissa, exponent


class Tiles:
    """Number 4: the weights themselves. Number 5: their difference to a base of equal length."""

    version = 1

    def __init__(self, name: str, number: int, *, needs_base: bool) -> None:
        self.name, self.number, self.needs_base = name, number, needs_base

    def encode(self, plain: Bytes, element: Element, base: Bytes | None, /) -> bytes | None:
        """None without the kernel, and where it gains nothing."""
        compiled = kernel()
        width, mantissa, exponent = shape(element)
        numbers = len(plain) // width
        if compiled is None or not 0 < numbers <= MOST:
            return None
        if not self.needs_base:
            base = None
            if not exponent:
                return None
        elif base is None or len(base) != len(plain):
            return None
        data = compiled.encode(plain, base, numbers, width, mantissa, exponent)
        return None if data is None else data + bytes(plain[numbers * width :])

    def decode(
        self, data: Bytes, _version: int, element: Element, base: Bytes | None, plain_length: int, /
    ) -> bytearray:
        """The weights, or the base plus the difference."""
        plain = bytearray(plain_length)
        self.fill(data, element, base, memoryview(plain))
        return plain

    def fill(self, data: Bytes, element: Element, base: Bytes | None, plain: memoryview) -> None:
        """Decode into memory of the right length.

        Raises:
            Damaged: the data was not made by ``encode``.
        """
        plain_length = len(plain)
        base = base if self.needs_base else None
        if len(data) < HEAD or (base is not None and len(base) != plain_length):
            raise Damaged("a payload of tiles is cut, or its base is of different length")
        mantissa, exponent = data[2], data[3]
        width = (1 + mantissa + exponent) // 8 if exponent else element.width
        numbers = plain_length // width if width else 0
        rest = plain_length - numbers * width
        if not 0 < numbers <= MOST or len(data) - rest < HEAD:
            raise Damaged("tiles of no numbers, or of too many")
        payload = memoryview(data)[: len(data) - rest] if rest else data
        compiled = kernel()
        if compiled is None:
            tiles_slowly.decode(payload, base, numbers, width, plain)
        elif not compiled.decode(payload, base, numbers, width, plain):
            raise Damaged("a payload of tiles is damaged")
        if rest:
            plain[-rest:] = data[len(data) - rest :]


FULL = Tiles("tiles", 4, needs_base=False)
EDGE = Tiles("tiles-difference", 5, needs_base=True)
