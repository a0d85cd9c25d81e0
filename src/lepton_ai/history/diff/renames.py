"""Tensors that are called otherwise now: the same content under another name, or a change of names that others show."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping

from lepton_ai.history.counterparts import TensorPair
from lepton_ai.history.elements import Elements
from lepton_ai.history.merging.renames import Trait, detect

READ = 1 << 20
"""Bytes up to which a tensor is read for this: small ones share their block with others, which cannot tell."""

_Kind = tuple[str, tuple[int, ...]]


def with_renamed(pairs: Iterable[TensorPair]) -> list[TensorPair]:
    """The pairs, with those made one that are one tensor under two names; these stand where the newer one stood."""
    listed = list(pairs)
    gone = {pair.before.address: pair.before for pair in listed if pair.before and not pair.after}
    new = {pair.after.address: pair.after for pair in listed if pair.after and not pair.before}
    kinds = {_kind(side) for side in gone.values()} & {_kind(side) for side in new.values()}
    found = detect(_traits(gone, kinds), _traits(new, kinds)).all if kinds else {}
    older = {after: gone[before] for before, after in found.items()}
    taken = {id(side) for side in older.values()}
    result = []
    for pair in listed:
        if pair.after is None:
            result += [] if id(pair.before) in taken else [pair]
        else:
            result.append(TensorPair(pair.before or older.get(pair.after.address), pair.after))
    return result


def _traits(sides: Mapping[str, Elements], kinds: set[_Kind]) -> dict[str, Trait]:
    return {
        address: Trait(side.tensor.dtype, side.tensor.shape, _content(side) if _kind(side) in kinds else None)
        for address, side in sides.items()
    }


def _kind(side: Elements) -> _Kind:
    return side.tensor.dtype, side.tensor.shape


def _content(side: Elements) -> Hashable:
    if not side.size:
        return None
    if side.nbytes <= READ:
        return hashlib.sha256(side.array().tobytes()).digest()
    return side.tensor.encoding, repr(side.tensor.args), tuple(side.pieces)
