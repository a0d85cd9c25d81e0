"""Decoders from the bytes of a tensor's extents to a numpy array; a file each, called by name.

The names and arguments are part of the repository format: a decoder may gain arguments with defaults, it never
changes what the old ones mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings import chunked, deflated, raw, strided, text, varint

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

DECODERS: dict[str, Callable[[Tensor, Sequence[bytes]], Array]] = {
    "chunked": chunked.decode,
    "deflated": deflated.decode,
    "raw": raw.decode,
    "strided": strided.decode,
    "text": text.decode,
    "varint": varint.decode,
}


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """Turn the bytes of the extents of ``tensor`` (one item each, in order) into an array of its shape.

    Raises:
        Malformed: the bytes do not fit the description, or the encoding is unknown.
    """
    decoder = DECODERS.get(tensor.encoding)
    if decoder is None:
        raise Malformed(f"tensor {tensor.name!r} is written as {tensor.encoding!r}, which is not known here")
    return decoder(tensor, parts)
