"""Protobuf: when elements take more or fewer bytes than before, the messages around them say so."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence

from lepton_ai.formats.contract import BytesSource, Source, Tensor
from lepton_ai.formats.protobuf import BYTES, Field, Wire
from lepton_ai.formats.splice.contract import Edit
from lepton_ai.formats.splice.plain import Plain


class Messages(Plain):
    """The plan for ONNX models.

    Raises:
        Malformed: a tensor lies outside of the bytes.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        super().__init__(source, tensors, changed)
        self._bytes = source

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """Those of the elements, and of the lengths before all messages that they lie in."""
        edits = super().edits(news)
        longer = sorted(
            (edit for edit in edits if edit.new.size != edit.length), key=lambda edit: edit.offset
        )
        if longer:
            wire = Wire(self._bytes)
            self._lengths(wire, 0, wire.size, longer, edits)
        return edits

    def _lengths(self, wire: Wire, start: int, end: int, inside: list[Edit], edits: list[Edit]) -> int:
        """By how much the message ``start … end`` grows for the edits ``inside``; adds its lengths to ``edits``."""
        places = [edit.offset for edit in inside]
        grown = 0
        for field in wire.fields(start, end):
            within = inside[bisect_left(places, field.start) : bisect_left(places, field.end)]
            if not within:
                if places[-1] < field.start:
                    break
                continue
            first = within[0]
            if field.wire != BYTES:  # a run of numbers with a tag each begins here
                grown += _growth(within)
                continue
            whole = (first.offset, first.length) == (field.offset, field.length)
            more = _growth(within) if whole else self._lengths(wire, field.offset, field.end, within, edits)
            grown += more + self._length(field, field.length + more, edits)
        return grown

    def _length(self, field: Field, length: int, edits: list[Edit]) -> int:
        """Write the length of a field; by how much that itself grows."""
        head = self._bytes.read(field.start, field.offset - field.start)
        tag = next(place for place, byte in enumerate(head) if byte < 0x80) + 1
        old, new = head[tag:], varint_of(length)
        edits.append(Edit(field.start + tag, len(old), BytesSource(new)))
        return len(new) - len(old)


def _growth(edits: Sequence[Edit]) -> int:
    return sum(edit.new.size - edit.length for edit in edits)


def varint_of(value: int) -> bytes:
    """The shortest varint that says ``value``."""
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])
