"""Where an HDF5 file says that it ends."""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.formats.contract import Source
from lepton_ai.formats.hdf5_file import headers
from lepton_ai.formats.hdf5_file.access import Access, Cursor
from lepton_ai.formats.hdf5_file.headers import read_header
from lepton_ai.formats.splice.hdf5_index import Block


class End(NamedTuple):
    """The address of the field that says it, and the checksum over it, if there is one.

    ``moved`` is what the file says that its addresses count from (0 when it stands behind bytes of the user's own and
    was not told). ``managed`` names what else keeps account of the file's bytes.
    """

    at: int
    width: int
    block: Block | None
    moved: int
    managed: str


def end_of(source: Source, access: Access) -> End:
    """What the superblock says."""
    wide = access.address_size
    head = source.read(access.base, min(28 + 4 * wide, source.size - access.base))
    version = head[8]
    if version < 2:
        first = 24 + (4 if version else 0)
        stated = int.from_bytes(head[first : first + wide], "little")
        return End(first + 2 * wide, wide, None, stated, "")
    cursor = Cursor(head[12:], wide, access.length_size)
    stated, extension = cursor.number(wide), cursor.address()
    managed = ""
    for message in read_header(access, extension) if extension is not None else ():
        if message.kind == headers.FREE_SPACE:
            managed = "keeps account of its free space"
        elif message.kind == headers.CACHE_IMAGE:
            managed = "holds its own metadata a second time"
    return End(12 + 2 * wide, wide, Block(0, 12 + 4 * wide), stated, managed)
