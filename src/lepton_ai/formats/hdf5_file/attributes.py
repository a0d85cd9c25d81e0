"""One attribute of a dataset: the string that Keras writes to say which type two opaque bytes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.hdf5_file.access import Access, Cursor
from lepton_ai.formats.hdf5_file.headers import ATTRIBUTE, SHARED, Message

if TYPE_CHECKING:
    from lepton_ai.formats.hdf5_file.heaps import GlobalHeaps

STRING, VARIABLE_LENGTH = 3, 9
VARIABLE_STRING = 1


def string_attribute(
    access: Access, heaps: GlobalHeaps, messages: list[Message], name: bytes
) -> bytes | None:
    """The value of attribute ``name`` when it is kept in the header and is one string; else None."""
    for message in messages:
        if message.kind == ATTRIBUTE and not message.flags & SHARED:
            found, datatype, cursor = _read(Cursor(message.data, access.address_size, access.length_size))
            if found == name:
                return _string(heaps, datatype, cursor)
    return None


def _read(cursor: Cursor) -> tuple[bytes, bytes, Cursor]:
    """Name, datatype, and the cursor standing at the value."""
    version = cursor.number(1)
    cursor.skip(1)
    sizes = [cursor.number(2) for _ in range(3)]
    cursor.skip(1 if version == 3 else 0)
    if version == 1:
        sizes = [size + -size % 8 for size in sizes]
    name, datatype, _ = (cursor.take(size) for size in sizes)
    return name.rstrip(b"\0"), datatype, cursor


def _string(heaps: GlobalHeaps, datatype: bytes, cursor: Cursor) -> bytes | None:
    kind = datatype[0] & 0x0F if len(datatype) >= 8 else None
    if kind == STRING:
        return cursor.take(cursor.left).rstrip(b"\0 ")
    if kind == VARIABLE_LENGTH and datatype[1] & 0x0F == VARIABLE_STRING:
        length = cursor.number(4)
        place, index = cursor.address(), cursor.number(4)
        value = None if place is None else heaps.object(place, index)
        return None if value is None else value[:length]
    return None
