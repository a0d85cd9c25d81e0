"""Which codec for which block: a cheap rule, because trying all of them would cost more than it saves.

A block is judged by a sample. Only where the sample does not decide are both forms made in full.
docs/decisions/0008-tiles.md has the figures behind the rule.
"""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.store.codecs import tiles
from lepton_ai.store.codecs.contract import Bytes, Codec, Element
from lepton_ai.store.codecs.difference import CODEC as DIFFERENCE
from lepton_ai.store.codecs.native import kernel
from lepton_ai.store.codecs.planes import CODEC as PLANES
from lepton_ai.store.codecs.raw import CODEC as RAW
from lepton_ai.store.codecs.sparse import CODEC as SPARSE
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
        edge_size = len(_difference(sample, element, sample_base).data)
        full_size = len(_full_codec(sample, element).encode(sample, element, None) or sample)
        if edge_size > (KEY_FRAME + _DOUBT) * full_size:
            return full(plain, element)
        if edge_size <= (KEY_FRAME - _DOUBT) * full_size:
            return _difference(plain, element, base)
    whole = full(plain, element)
    return edge(plain, element, base, len(whole.data)) or whole


def edge(plain: Bytes, element: Element, base: Bytes, whole: int) -> Coded | None:
    """``plain`` as a difference to ``base``; None when that is not clearly less than ``whole`` bytes."""
    if len(base) != len(plain) or len(plain) <= TINY:
        return None
    coded = _difference(plain, element, base)
    return coded if len(coded.data) <= KEY_FRAME * whole else None


def full(plain: Bytes, element: Element, like: int | None = None) -> Coded:
    """The smallest form that needs no base. ``like``: the codec of the same place's block before, if it was judged so.

    What was best coded as tiles is weights, and stays so.
    """
    if like == tiles.FULL.number and len(plain) > TINY:
        data = tiles.FULL.encode(plain, element, None)
        if data is not None and len(data) < len(plain):
            return Coded(tiles.FULL, data, edge=False)
    if len(plain) > TINY:
        codec = _full_codec(_sample(plain) if len(plain) >= SAMPLED else plain, element)
        data = codec.encode(plain, element, None)
        if data is not None and len(data) < len(plain):
            return Coded(codec, data, edge=False)
    return Coded(RAW, RAW.encode(plain, element, None), edge=False)


def _difference(plain: Bytes, element: Element, base: Bytes) -> Coded:
    """An edge, whatever its size; bases of equal length always have one."""
    codec: Codec = tiles.EDGE if kernel() else SPARSE
    data = codec.encode(plain, element, base)
    if data is not None:
        return Coded(codec, data, edge=True)
    return Coded(DIFFERENCE, DIFFERENCE.encode(plain, element, base) or b"", edge=True)


def _full_codec(sample: Bytes, element: Element) -> Codec:
    """The codec that makes least of the sample. Short ones would only tell what a frame costs."""
    floats = kernel() is not None and element.number in tiles.FLOATS
    candidates: list[Codec] = [] if element.width == 1 and not floats else [tiles.FULL if floats else PLANES]
    if len(sample) >= _SLICE or not candidates:
        candidates.append(ZSTD)
    sizes = [len(codec.encode(sample, element, None) or sample) for codec in candidates]
    return candidates[sizes.index(min(sizes))]


def _sample(plain: Bytes) -> bytes:
    """A few slices from all over the block, aligned to its numbers."""
    step = (len(plain) - _SLICE) // (_SLICES - 1) & ~7
    return b"".join(plain[i * step : i * step + _SLICE] for i in range(_SLICES))
