"""Bodies of requests and answers as they travel between our own programs: packed (msgpack), and squeezed (zstd).

JSON is what everybody may send and ask for; packed, bytes need no Base64 and what repeats can be squeezed out of them.
"""

from __future__ import annotations

from lepton_ai.errors import UsageError

JSON, PACKED = "application/json", "application/msgpack"
"""Media types of bodies."""
ZSTD = "zstd"
"""The content coding (RFC 8878)."""
SMALLEST = 128
"""Bytes from which on squeezing is worth the header that says so."""
_CAREFUL = 256 << 10
"""Bytes up to which more effort costs nothing that anybody notices."""
_WINDOW = 8 << 20
"""Bytes of memory that opening a frame may need."""


def squeeze(data: bytes) -> bytes | None:
    """One zstd frame of ``data`` that carries its size; None when it would save nothing."""
    if len(data) < SMALLEST:
        return None
    import zstandard

    small = zstandard.ZstdCompressor(level=12 if len(data) <= _CAREFUL else 3).compress(data)
    return small if len(small) + 32 < len(data) else None


def unsqueeze(data: bytes, most: int) -> bytes:
    """What was squeezed; nothing is allocated for a frame that claims more than ``most`` bytes.

    Raises:
        UsageError: it is no such frame, or too large.
    """
    import zstandard

    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= most:
            raise UsageError(
                f"a body says that it has more than {most:,} bytes, or not how many, when it is opened"
            )
        if not size:
            return b""
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompress(data, max_output_size=size)
    except zstandard.ZstdError as problem:
        raise UsageError("a body is not the zstd frame that it is said to be") from problem
