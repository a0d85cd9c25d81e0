"""Bytes in which nothing depends on the elements: they are replaced where they lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lepton_ai.formats.contract import Source, Tensor, check_range
from lepton_ai.formats.splice.contract import Edit


class Plain:
    """The plan for files without checksums.

    Raises:
        Malformed: a tensor lies outside of the bytes.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors if tensor.name in changed}
        self.refused: Mapping[str, str] = {
            name: f"is written as {tensor.encoding!r} {tensor.args or ''}, which cannot be written yet"
            for name, tensor in self._tensors.items()
            if tensor.encoding != "raw" or tensor.args or len(tensor.extents) > 1
        }
        for tensor in self._tensors.values():
            for extent in tensor.extents:
                check_range(extent.offset, extent.length, source.size)

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """One for each tensor that has bytes."""
        return [
            Edit(extent.offset, extent.length, new)
            for name, new in news.items()
            for extent in self._tensors[name].extents
        ]
