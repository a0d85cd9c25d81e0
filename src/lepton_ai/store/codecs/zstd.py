"""Zstandard over the bytes as they are; its two functions also serve the codecs that prepare bytes for it.

Source: RFC 8878. A frame always carries its content size and never a dictionary id.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lepton_ai.errors import Damaged
from lepton_ai.store.codecs.contract import Bytes, Element

if TYPE_CHECKING:
    import zstandard

LEVEL = 3
"""For bytes as they are."""

PLANES = 0
"""For byte planes: hardly a look for repetitions. They are literals to be entropy-coded, and every short match that
is found spoils the statistics (measured on bf16 weights: 0.670 at 1,660 MB/s, level 1 gives 0.684 at 660)."""


class _Contexts(threading.local):
    """One compressor per level and one decompressor for each thread: they are not thread-safe."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor: zstandard.ZstdDecompressor | None = None


_contexts = _Contexts()


def compress(data: Bytes, level: int) -> bytes:
    """One zstd frame of ``data``; ``level`` is LEVEL or PLANES."""
    compressor = _contexts.compressors.get(level)
    if compressor is None:
        compressor = _contexts.compressors[level] = _compressor(level)
    return compressor.compress(data)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    import zstandard

    if level != PLANES:
        return zstandard.ZstdCompressor(level=level)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1, strategy=zstandard.STRATEGY_FAST, min_match=7, window_log=17, hash_log=7
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def decompress(data: Bytes, length: int) -> bytes:
    """The ``length`` bytes of the one frame ``data``; nothing is allocated for a frame that claims another length.

    Raises:
        Damaged: it is no such frame.
    """
    import zstandard

    decompressor = _contexts.decompressor
    if decompressor is None:
        decompressor = _contexts.decompressor = zstandard.ZstdDecompressor()
    try:
        claimed = zstandard.frame_content_size(data)
        if claimed != length:
            raise Damaged(f"a zstd frame says {claimed} bytes where {length} are due")
        return decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damaged(f"zstd: {error}") from error


class Zstd:
    """``data = zstd(plain)``."""

    name = "zstd"
    number = 1
    version = 1
    needs_base = False

    def encode(self, plain: Bytes, _element: Element, _base: Bytes | None, /) -> bytes:
        """One frame."""
        return compress(plain, LEVEL)

    def decode(
        self, data: Bytes, _version: int, _element: Element, _base: Bytes | None, plain_length: int, /
    ) -> bytes:
        """The frame's content."""
        return decompress(data, plain_length)


CODEC = Zstd()
