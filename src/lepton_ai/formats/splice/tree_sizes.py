"""LightGBM's text models: the header says how many bytes each tree takes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from lepton_ai.formats.contract import BytesSource, Malformed, Source, Tensor
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.plain import Plain

SIZES = re.compile(rb"\ntree_sizes=([0-9 ]*)\n")
FIRST = b"\nTree="
PIECE = 1 << 16
LONGEST_HEADER = 256 << 20


class TreeSizes(Plain):
    """The plan for LightGBM's models.

    Raises:
        Malformed: the sizes are not those of the trees.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        super().__init__(source, tensors, changed)
        header = _header(source)
        self._start, self._sizes, self._starts = 0, [], [len(header)]
        if found := SIZES.search(header):
            self._start, self._text = found.start(1), found[1]
            self._sizes = [int(number) for number in found[1].split()]
            self._starts = list(accumulate(self._sizes, initial=len(header)))
            ends = [e.offset + e.length for tensor in self._tensors.values() for e in tensor.extents]
            starts, cut = (
                self._starts[:-1],
                self._starts[-1] > source.size or max(ends, default=0) > self._starts[-1],
            )
            if cut or any(source.read(at, 5) != FIRST[1:] for at in starts):
                raise Malformed("the sizes of its trees are not those that its header tells")

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """Those of the lists of numbers, and of the line of sizes."""
        edits, sizes = super().edits(news), list(self._sizes)
        for edit in edits if sizes else ():
            sizes[bisect_right(self._starts, edit.offset) - 1] += edit.new.size - edit.length
        if sizes != self._sizes:
            text = b" ".join(b"%d" % size for size in sizes)
            edits.append(Edit(self._start, len(self._text), BytesSource(text)))
        return edits


def _header(source: Source) -> bytes:
    """All before the first tree."""
    header = b""
    while FIRST not in header and len(header) < min(source.size, LONGEST_HEADER):
        header += source.read(len(header), min(max(PIECE, len(header)), source.size - len(header)))
    return header[: header.find(FIRST) + 1]
