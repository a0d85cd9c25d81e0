"""The index of TensorFlow's checkpoints: a checksum for each tensor, and one for each block of the table.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/tensor_bundle.proto,
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lepton_ai.formats.contract import BytesSource, Source, Tensor
from lepton_ai.formats.protobuf import FIXED32, Wire
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.crc32c import masked_crc32c, masked_of
from lepton_ai.formats.sstable import Entry, located

CHECKSUM = 6


class BundleIndex:
    """The plan for an index; the elements are in the files beside it.

    Raises:
        Malformed: it is none.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._source = source
        self._places: dict[str, tuple[Entry, int]] = {}
        wanted = {tensor.name.encode(): tensor.name for tensor in tensors if tensor.name in changed}
        for entry in located(source):
            name = wanted.get(entry.key)
            if name is not None and (at := _checksum(entry.value)) is not None:
                self._places[name] = entry, entry.place + at
        self.refused = {
            name: "has no checksum in the index" for name in wanted.values() if name not in self._places
        }

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


def _checksum(value: bytes) -> int | None:
    """Where an entry has its checksum."""
    fields = Wire(BytesSource(value)).fields(0, len(value))
    return next((field.offset for field in fields if (field.number, field.wire) == (CHECKSUM, FIXED32)), None)
