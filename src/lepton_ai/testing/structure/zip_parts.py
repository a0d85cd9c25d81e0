"""A zip archive taken apart into members, and put together again with whatever lies its records are to tell."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from lepton_ai.testing.structure.contract import NotStructured
from lepton_ai.testing.structure.numbers import fit

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError, OverflowError),
)
"""What zipfile raises of damage; RuntimeError of members that are encrypted or packed in an unknown way."""

LOCAL = ("version", "flags", "method", "time", "date", "crc", "packed", "size", "name_length", "extra_length")
CENTRAL = ("made", *LOCAL, "comment_length", "disk", "internal", "external", "header")
END = ("disk", "first_disk", "here", "count", "length", "start", "comment_length")
END64 = ("record", "made", "version", *END[:-1])
"""The fields of zip's records in their order."""


@dataclass
class Part:
    """A member. ``local`` and ``central`` are fields that are written instead of the true ones."""

    name: bytes
    data: bytes
    method: int = STORED
    extra: bytes = b""
    central_extra: bytes = b""
    local: dict[str, int] = field(default_factory=dict)
    central: dict[str, int] = field(default_factory=dict)


@dataclass
class Archive:
    """Members, and fields of the end records that are written instead of the true ones."""

    parts: list[Part]
    end: dict[str, int] = field(default_factory=dict)
    end64: dict[str, int] | None = None
    comment: bytes = b""
    before_directory: bytes = b""


def take_apart(data: bytes) -> Archive:
    """The members of an archive, inflated, with the extra fields of their local headers.

    Raises:
        NotStructured: it is no archive.
    """
    parts = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                name, extra = struct.unpack_from("<2H", data, info.header_offset + 26)
                start = info.header_offset + 30 + name
                parts.append(
                    Part(
                        data[start - name : start],
                        archive.read(info),
                        info.compress_type,
                        data[start : start + extra],
                    )
                )
    except UNREADABLE as error:
        raise NotStructured from error
    return Archive(parts)


def put_together(archive: Archive) -> bytes:
    """The archive's bytes: every size, checksum and place is true unless the parts say otherwise."""
    out, directory = io.BytesIO(), b""
    for part in archive.parts:
        place, packed = out.tell(), _packed(part)
        true = {
            "made": 20, "version": 20, "flags": 1 << 11, "method": part.method, "date": 33, "packed": len(packed),
            "size": len(part.data), "crc": zlib.crc32(part.data), "name_length": len(part.name), "header": place,
        }  # fmt: skip
        local = true | {"extra_length": len(part.extra)} | part.local
        central = true | {"extra_length": len(part.central_extra)} | part.central
        out.write(_record(b"PK\x03\x04", "5H3I2H", LOCAL, local) + part.name + part.extra + packed)
        directory += _record(b"PK\x01\x02", "6H3I5H2I", CENTRAL, central) + part.name + part.central_extra
    out.write(archive.before_directory)
    start, count = out.tell(), len(archive.parts)
    out.write(directory)
    true = {"here": count, "count": count, "length": len(directory), "start": start}
    if archive.end64 is not None:
        wide = true | {"record": 44, "made": 45, "version": 45} | archive.end64
        place = out.tell()
        out.write(_record(b"PK\x06\x06", "Q2H2I4Q", END64, wide))
        out.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, place, 1))
    out.write(
        _record(b"PK\x05\x06", "4H2IH", END, true | {"comment_length": len(archive.comment)} | archive.end)
    )
    return out.getvalue() + archive.comment


def _packed(part: Part) -> bytes:
    if part.method != DEFLATED:
        return part.data
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    return deflater.compress(part.data) + deflater.flush()


def _record(signature: bytes, codes: str, names: Sequence[str], values: dict[str, int]) -> bytes:
    """Fields in the order of ``names``; a number that does not fit its field loses its high bytes."""
    single = "".join(code * int(count or 1) for count, code in _counted(codes))
    widths = [struct.calcsize(f"<{code}") for code in single]
    fields = [fit(values.get(name, 0), width) for name, width in zip(names, widths, strict=True)]
    return signature + struct.pack(f"<{codes}", *fields)


def _counted(codes: str) -> list[tuple[str, str]]:
    found, count = [], ""
    for letter in codes:
        if letter.isdigit():
            count += letter
        else:
            found.append((count, letter))
            count = ""
    return found
