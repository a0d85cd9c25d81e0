"""Which codec for which block: a cheap rule, because trying all of them would cost more than it saves.

A block is judged by a sample. Only where the sample does not decide are both forms made in full.
"""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.store.codecs.contract import Bytes, Codec, Element
from lepton_ai.store.codecs.difference import CODEC as DIFFERENCE
from lepton_ai.store.codecs.planes import CODEC as PLANES
from lepton_ai.store.codecs.raw import CODEC as RAW
from lepton_ai.store.codecs.zstd import CODEC as ZSTD

KEY_FRAME = 0.75
"""An edge must be at most this part of the full form; otherwise a full one is kept, for the next edges to stand on."""

TINY = 48
"""Up to this many bytes nothing is gained by trying."""

_DOUBT = 0.05
"""Where the sample is this near to KEY_FRAME, both forms are made."""

_SLICE = 4096
_SLICES = 4
SAMPLED = 4 * _SLICES * _SLICE
"""Blocks of fewer bytes are not sampled."""


class Coded(NamedTuple):
    """The chosen form of a block; ``edge`` tells whether it needs its base."""

    codec: Codec
    data: bytes
    edge: bool


def choose(plain: Bytes, element: Element, base: Bytes | None) -> Coded:
    """The form in which to store ``plain``: an edge to ``base`` when that is clearly smaller, else a full one."""
    if base is None or len(base) != len(plain) or len(plain) <= TINY:
        return full(plain, element)
    if len(plain) >= SAMPLED:
        sample, sample_base = _sample(plain), _sample(base)
        edge_size = len(DIFFERENCE.encode(sample, element, sample_base) or sample)
        full_size = len(_full_codec(sample, element).encode(sample, element, None) or sample)
        if edge_size > (KEY_FRAME + _DOUBT) * full_size:
            return full(plain, element)
        if edge_size <= (KEY_FRAME - _DOUBT) * full_size:
            edge = DIFFERENCE.encode(plain, element, base)
            if edge is not None:
                return Coded(DIFFERENCE, edge, edge=True)
    whole = full(plain, element)
    edge = DIFFERENCE.encode(plain, element, base)
    if edge is not None and len(edge) <= KEY_FRAME * len(whole.data):
        return Coded(DIFFERENCE, edge, edge=True)
    return whole


def full(plain: Bytes, element: Element) -> Coded:
    """The smallest form that needs no base."""
    if len(plain) > TINY:
        codec = _full_codec(_sample(plain) if len(plain) >= SAMPLED else plain, element)
        data = codec.encode(plain, element, None)
        if data is not None and len(data) < len(plain):
            return Coded(codec, data, edge=False)
    return Coded(RAW, RAW.encode(plain, element, None), edge=False)


def _full_codec(sample: Bytes, element: Element) -> Codec:
    if element.width == 1:
        return ZSTD
    if len(sample) < _SLICE:
        return PLANES
    planes, bytes_ = PLANES.encode(sample, element, None), ZSTD.encode(sample, element, None)
    return ZSTD if len(bytes_) < len(planes) else PLANES


def _sample(plain: Bytes) -> bytes:
    """A few slices from all over the block, aligned to its numbers."""
    step = (len(plain) - _SLICE) // (_SLICES - 1) & ~7
    return b"".join(plain[i * step : i * step + _SLICE] for i in range(_SLICES))
