"""Whether two versions hold the same weights, for next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.history import counterparts
from lepton_ai.history.elements import Elements, Tensors
from lepton_ai.history.reading import Reader
from lepton_ai.types import FileEntry

READ = 1 << 20
"""Bytes of a tensor that is read when its blocks cannot tell; larger ones then count as different."""


def identical(reader: Reader, before: Sequence[FileEntry], after: Sequence[FileEntry]) -> bool:
    """Whether both have the same tensors under the same names. Only small ones may be read.

    What cannot be read at all is not known to be the same.

    Raises:
        Damaged, KeyMissing, TooNew, StorageFailed.
    """
    one, other = Tensors(reader, before), Tensors(reader, after)
    if one.lacking or other.lacking:
        return False
    models = {elements.path for elements in one.values()}, {elements.path for elements in other.values()}
    pairs = counterparts.tensors(one, other, counterparts.files(before, after, models))
    return bool(pairs) and all(old is not None and new is not None and _equal(old, new) for old, new in pairs)


def _equal(one: Elements, other: Elements) -> bool:
    if one.same_as(other):
        return True
    if (one.tensor.dtype, one.shape) != (other.tensor.dtype, other.shape):
        return False
    return max(one.nbytes, other.nbytes) <= READ and one.array().tobytes() == other.array().tobytes()
