"""The superblock: where the file's addresses count from, how wide they are, and where the root group is."""

from __future__ import annotations

from lepton_ai.formats.contract import Malformed, Source
from lepton_ai.formats.hdf5_file.access import Access, Cursor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
PLACES = (0, 512, 1024, 2048)
"""Where the superblock may be, behind a block of the user's own. (The format allows any doubling of 512.)"""

WIDTHS = (2, 4, 8)


def place_of(head: bytes) -> int | None:
    """Where the superblock starts in the first bytes of a file; None: nowhere."""
    return next((place for place in PLACES if head[place : place + 8] == SIGNATURE), None)


def open_file(source: Source) -> tuple[Access, int]:
    """Read the superblock; return the way to read on, and the address of the root group's object header."""
    head = source.read(0, min(source.size, PLACES[-1] + 256))
    base = place_of(head)
    if base is None:
        raise Malformed("no HDF5 signature")
    cursor = Cursor(head[base + 8 :])
    version = cursor.number(1)
    if version in (0, 1):
        access, end, root = _old(source, base, cursor, version)
    elif version in (2, 3):
        access, end, root = _new(source, base, cursor)
    else:
        raise Malformed(f"version {version} of the superblock is not known here")
    if end is None or end > source.size:
        raise Malformed(f"the file is cut: {source.size} bytes of {end}")
    if root is None:
        raise Malformed("there is no root group")
    return access, root


def _access(source: Source, base: int, widths: bytes) -> Access:
    address_size, length_size = widths
    if address_size not in WIDTHS or length_size not in WIDTHS:
        raise Malformed(f"addresses of {address_size} bytes and lengths of {length_size} are not known here")
    return Access(source, base, address_size, length_size)


def _old(source: Source, base: int, cursor: Cursor, version: int) -> tuple[Access, int | None, int | None]:
    """Versions 0 and 1. The stated base address is ignored, as libhdf5 does: the file may have moved."""
    cursor.skip(4)
    access = _access(source, base, cursor.take(2))
    cursor = Cursor(cursor.data, access.address_size, access.length_size)
    cursor.skip(16 if version == 0 else 20)
    cursor.address()
    cursor.address()
    end = cursor.address()
    if cursor.address() is not None:
        raise Malformed("it is one of several files (a driver information block)")
    cursor.skip(access.length_size)
    return access, end, cursor.address()


def _new(source: Source, base: int, cursor: Cursor) -> tuple[Access, int | None, int | None]:
    """Versions 2 and 3."""
    access = _access(source, base, cursor.take(2))
    cursor = Cursor(cursor.data, access.address_size, access.length_size)
    cursor.skip(4)
    cursor.address()
    cursor.address()
    end = cursor.address()
    return access, end, cursor.address()
