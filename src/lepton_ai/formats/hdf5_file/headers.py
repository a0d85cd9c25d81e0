"""Object headers, version 1 and 2: the list of messages that describe a group or a dataset."""

from __future__ import annotations

import struct
from collections import deque
from typing import NamedTuple

from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.hdf5_file.access import Access, Cursor

DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 4, 5, 6, 7, 8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, FREE_SPACE, CACHE_IMAGE = 11, 12, 16, 17, 23, 24

KEPT = frozenset(range(1, 9)) | {FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, FREE_SPACE, CACHE_IMAGE}
MOST_MESSAGES = 65536

VERSION_1 = struct.Struct("<HHB3x")
VERSION_2 = struct.Struct("<BHB")
VERSION_2_ORDERED = struct.Struct("<BHB2x")
"""Kind, length and flags of a message."""

SHARED = 0x02
"""Flag of a message whose data only says where the true message is."""


class Message(NamedTuple):
    """One message; ``address`` is where its ``data`` starts in the file."""

    kind: int
    flags: int
    data: bytes
    address: int


def read_header(access: Access, address: int) -> list[Message]:
    """The messages that matter here of the object header at ``address``, with those of its continuations."""
    start = access.read(address, 4)
    if start == b"OHDR":
        return _version_2(access, address)
    if start[0] != 1:
        raise Malformed(f"no object header at {address}")
    head = access.cursor(address, 16)
    head.skip(8)
    return _collect(access, (address + 16, head.number(4)), b"", VERSION_1)


def _version_2(access: Access, address: int) -> list[Message]:
    head = access.cursor(address, 6)
    head.expect(b"OHDR", 2)
    flags = head.number(1)
    extra = (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(access.read(address + 6 + extra, width), "little")
    first = (address + 6 + extra + width, size)
    return _collect(access, first, b"OCHK", VERSION_2_ORDERED if flags & 0x04 else VERSION_2)


def _collect(access: Access, first: tuple[int, int], signature: bytes, head: struct.Struct) -> list[Message]:
    """Read the blocks of a header one after the other; ``head`` is what stands before each message."""
    messages: list[Message] = []
    blocks, seen, known = deque([first]), set(), 0
    while blocks:
        address, size = blocks.popleft()
        if address in seen:
            raise Malformed("an object header continues in itself")
        seen.add(address)
        messages += _block(access, address, size, head)
        for message in messages[known:]:
            if message.kind == CONTINUATION:
                blocks.append(_continuation(access, message, signature))
        known = len(messages)
    return messages


def _block(access: Access, address: int, size: int, head: struct.Struct) -> list[Message]:
    data = access.read(address, size)
    place, count, messages = 0, 0, []
    while place + head.size <= size:
        kind, length, flags = head.unpack_from(data, place)
        place += head.size
        count += 1
        if place + length > size or count > MOST_MESSAGES:
            raise Malformed("an object header ends before its messages do, or has too many")
        if kind in KEPT:
            messages.append(Message(kind, flags, data[place : place + length], address + place))
        place += length
    access.step(count)
    return messages


def _continuation(access: Access, message: Message, signature: bytes) -> tuple[int, int]:
    """Where the next block's messages are: between a signature and a checksum in version 2."""
    cursor = Cursor(message.data, access.address_size, access.length_size)
    address, size = cursor.address(), cursor.length()
    if address is None:
        raise Malformed("an object header continues nowhere")
    if not signature:
        return address, size
    if access.read(address, 4) != signature:
        raise Malformed(f"no object header continues at {address}")
    return address + 4, size - 8
