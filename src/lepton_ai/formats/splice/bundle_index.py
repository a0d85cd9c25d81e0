"""The index of TensorFlow's checkpoints: a checksum for each tensor, and one for each block of the table.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/tensor_bundle.proto,
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from lepton_ai.formats.contract import BytesSource, Source, Tensor
from lepton_ai.formats.protobuf import FIXED32, VARINT, Wire
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.crc32c import masked_crc32c, masked_of
from lepton_ai.formats.sstable import Entry, located

SHARD, OFFSET, SIZE, CHECKSUM = 3, 4, 5, 6

_Place: TypeAlias = tuple[int, int, int]
"""Number of the file, first byte in it, bytes."""


class BundleIndex:
    """The plan for an index; the elements are in the files beside it.

    Raises:
        Malformed: it is none.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._source = source
        self._places: dict[str, tuple[Entry, int]] = {}
        wanted: dict[_Place, list[str]] = {}
        for tensor in tensors:
            if tensor.name in changed:
                wanted.setdefault(_place_of(tensor), []).append(tensor.name)
        for entry in located(source):
            numbers, at = _told(entry.value)
            if at is not None:
                self._places |= dict.fromkeys(wanted.get(numbers, ()), (entry, entry.place + at))
        self.refused = {name: "has no checksum in the index" for name in changed if name not in self._places}

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """One for every block that tells of a tensor that changes."""
        blocks: dict[tuple[int, int], bytearray] = {}
        for name, new in news.items():
            entry, place = self._places[name]
            key = entry.block, entry.size
            if key not in blocks:
                blocks[key] = bytearray(self._source.read(entry.block, entry.size + 1))
            place -= entry.block
            blocks[key][place : place + 4] = masked_crc32c(new).to_bytes(4, "little")
        return [
            Edit(offset, size + 5, BytesSource(bytes(block) + masked_of(bytes(block)).to_bytes(4, "little")))
            for (offset, size), block in blocks.items()
        ]


def _place_of(tensor: Tensor) -> _Place:
    """What the table calls it need not be what its reader does; where its bytes are says which it is."""
    (extent,) = tensor.extents
    return int(extent.path.rpartition(".data-")[2].partition("-of-")[0]), extent.offset, extent.length


def _told(value: bytes) -> tuple[_Place, int | None]:
    """Where the bytes of an entry are, and where in it their checksum is."""
    numbers, checksum = {SHARD: 0, OFFSET: 0, SIZE: 0}, None
    for field in Wire(BytesSource(value)).fields(0, len(value)):
        if field.number in numbers and field.wire == VARINT:
            numbers[field.number] = field.value
        elif (field.number, field.wire) == (CHECKSUM, FIXED32):
            checksum = field.offset
    return (numbers[SHARD], numbers[OFFSET], numbers[SIZE]), checksum
