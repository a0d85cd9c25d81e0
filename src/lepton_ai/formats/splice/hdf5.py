"""HDF5: contiguous datasets where they lie, chunks filtered as before, and the metadata that tell of them.

A filtered chunk that has become larger than its place is put at the end of the file; what it leaves behind is lost
space, as it is when HDF5 itself rewrites a chunk.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence

from lepton_ai.formats.contract import BytesSource, Malformed, Source, Tensor
from lepton_ai.formats.hdf5_file.superblock import open_file
from lepton_ai.formats.hdf5_file.walk import walk
from lepton_ai.formats.splice.boxes import Boxes, Chunk
from lepton_ai.formats.splice.contract import Edit, Refused
from lepton_ai.formats.splice.edited import Edited
from lepton_ai.formats.splice.hdf5_end import end_of
from lepton_ai.formats.splice.hdf5_index import Block, Index, index_of
from lepton_ai.formats.splice.kept import Kept
from lepton_ai.formats.splice.lookup3 import lookup3
from lepton_ai.formats.splice.plain import Plain, equal, sharing

FILTERS = frozenset({"deflate", "shuffle", "fletcher32"})


class Hdf5:
    """The plan for an HDF5 file.

    Raises:
        Malformed: it is none, or has other datasets than it had.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._source = source
        self._access, _ = open_file(source)
        self._slabs = Kept()
        self._end = end_of(source, self._access)
        self._tensors = {tensor.name: tensor for tensor in tensors if tensor.name in changed}
        chunked = {name for name, tensor in self._tensors.items() if tensor.encoding == "chunked"}
        self._plain = Plain(source, tensors, frozenset(changed) - chunked)
        self.refused: dict[str, str] = dict(self._plain.refused)
        for name in chunked:
            if why := self._unwritable(self._tensors[name]):
                self.refused[name] = why
        self.refused |= sharing(tensors, chunked)
        self._indexes = self._found(tensor for tensor in self._tensors.values() if tensor.extents)

    def _unwritable(self, tensor: Tensor) -> str:
        """Why a chunked tensor cannot be written; empty: it can."""
        pairs = zip(tensor.shape, tensor.args["chunk"], strict=True)
        missing = math.prod(-(-extent // step) for extent, step in pairs) - len(tensor.extents)
        names = [str(name) for name, *_ in tensor.args.get("filters", ())]
        unknown = [name for name in names if name not in FILTERS]
        if missing:
            return f"has {missing} chunks that were never written, and have no place in the file"
        if unknown:
            return f"is written with the filter {unknown[0]}, which is not known here"
        if names and self._end.managed:
            return f"is compressed in a file that {self._end.managed}, which cannot be kept right"
        return ""

    def _found(self, tensors: Iterable[Tensor]) -> dict[tuple[int, ...], Index]:
        """The index of each dataset, by the places of its runs."""
        wanted = {_runs(tensor) for tensor in tensors}
        found = {
            runs: index_of(self._access, item.address)
            for item in walk(self._source)
            if (runs := tuple(start for start, _ in item.dataset.runs)) in wanted
        }
        if len(found) != len(wanted):
            raise Malformed("its datasets are not where they were")
        return found

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """Those of the elements, of the index of chunks that move, and of checksums."""
        edits = self._plain.edits({name: new for name, new in news.items() if self._flat(name)})
        blocks: list[Block] = []
        tail = _Tail(self._source.size)
        done: dict[tuple[int, ...], str] = {}
        for name, new in news.items():
            tensor = self._tensors[name]
            if not tensor.extents:
                continue
            runs = _runs(tensor)
            blocks += self._indexes[runs].blocks
            if self._flat(name):
                continue
            if runs in done:  # the same dataset by another name
                if not equal(new, news[done[runs]]):
                    raise Refused(
                        {name: f"is the same dataset as {done[runs]!r}, which would become another"}
                    )
                continue
            done[runs] = name
            edits += self._chunks(tensor, new, self._indexes[runs], tail)
        edits += self._appended(tail, blocks)
        return edits + self._checksums(edits, blocks)

    def _flat(self, name: str) -> bool:
        return self._tensors[name].encoding != "chunked"

    def _chunks(self, tensor: Tensor, new: Source, index: Index, tail: _Tail) -> list[Edit]:
        boxes, edits = Boxes(self._source, tensor, new, self._slabs), []
        filtered = bool(tensor.args.get("filters"))
        for number, extent in enumerate(tensor.extents):
            if not filtered:
                edits.append(Edit(extent.offset, extent.length, Chunk(boxes, number, extent.length)))
                continue
            old = boxes.old(number)
            data = boxes.new(number, old)
            if data == old:
                continue
            chunk = Chunk(boxes, number, len(boxes.filtered(number, data)))
            slot = index.slots[extent.offset - self._access.base]
            if chunk.size != extent.length:
                if chunk.size >= 1 << 8 * slot.width:
                    raise Refused({tensor.name: "has a chunk that becomes larger than its index can say"})
                edits += [self._number(at, chunk.size, slot.width) for at in slot.sizes_at]
            if chunk.size <= extent.length:
                edits.append(Edit(extent.offset, chunk.size, chunk))
            else:
                place = tail.end - self._access.base
                edits.append(self._number(slot.address_at, place, self._access.address_size))
                tail.put(chunk)
        return edits

    def _appended(self, tail: _Tail, blocks: list[Block]) -> list[Edit]:
        """Chunks behind all that there is, and the new end of the file."""
        if not tail.chunks:
            return []
        if self._end.block:
            blocks.append(self._end.block)
        field = self._number(self._end.at, tail.end - self._access.base + self._end.moved, self._end.width)
        return [*(Edit(self._source.size, 0, chunk) for chunk in tail.chunks), field]

    def _number(self, address: int, value: int, width: int) -> Edit:
        return Edit(self._access.base + address, width, BytesSource(value.to_bytes(width, "little")))

    def _checksums(self, edits: list[Edit], blocks: Iterable[Block]) -> list[Edit]:
        """Those of the blocks in which something has changed."""
        places = sorted(edit.offset - self._access.base for edit in edits)
        whole = Edited(self._source, edits)
        found = []
        for block in set(blocks):
            if bisect_left(places, block.begin) < bisect_left(places, block.end):
                data = whole.read(self._access.base + block.begin, block.end - block.begin)
                found.append(self._number(block.end, lookup3(data), 4))
        return found


def _runs(tensor: Tensor) -> tuple[int, ...]:
    return tuple(extent.offset for extent in tensor.extents)


class _Tail:
    """What is put on at the ``end`` of the file."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.chunks: list[Source] = []

    def put(self, chunk: Source) -> None:
        """Put one more."""
        self.chunks.append(chunk)
        self.end += chunk.size
