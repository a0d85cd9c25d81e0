"""Walk a zip archive by its own directory, believing nothing.

Only archives that every reader of zip understands the same way are taken: one disk, the directory right
before the end record, every local header in agreement with the directory, no two members over the same bytes,
nothing encrypted. Members' checksums are not compared: readers look at headers only, and torch can be told to
write none.

Source: PKWARE APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_ai.formats.contract import Extent, Malformed, Segment, Source, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_MEMBERS = 500_000
MAX_DIRECTORY = 128 << 20
STORED, DEFLATED = 0, 8
DEFLATE_RATIO = 1032
"""No deflated byte gives more bytes than this."""

FREE_INFLATED, LIKELY_RATIO = 1 << 20, 32
"""Texts and pickles that we look into do not shrink by more: one that does (beyond a MiB) is a bomb."""

_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 3, 1 << 11
_SENTINEL = 0xFFFFFFFF


class Member(msgspec.Struct, frozen=True):
    """One file of an archive: its bytes sit at ``offset``, ``packed`` of them, ``size`` after inflating.

    ``header`` is the place of the local header, ``method`` zip's number for how it is packed.
    """

    name: str
    method: int
    offset: int
    packed: int
    size: int
    crc: int
    header: int


class _Entry(msgspec.Struct, frozen=True):
    """What the directory says about a member."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int


def members(source: Source) -> tuple[Member, ...]:
    """Every member in the order of the directory.

    Raises:
        Malformed: it is no zip archive, or one that could be read in two ways.
    """
    start, length, count = directory(source)
    entries = tuple(_entries(source.read(start, length), count))
    places = sorted(entry.header for entry in entries)
    ends = dict(zip(places, [*places, start][1:], strict=True))
    if len(ends) != len(places):
        raise Malformed("two members of the archive overlap")
    found = tuple(_member(source, entry, ends[entry.header]) for entry in entries)
    if len({member.name for member in found}) != len(found):
        raise Malformed("two members of the archive have the same name")
    return found


def read(source: Source, member: Member, limit: int) -> bytes:
    """The whole of a member, inflated when it is deflated.

    Raises:
        Malformed: it is longer than ``limit`` (or, being deflated, than its archive can account for), packed in
            another way, or not what its sizes say.
    """
    if member.method != STORED:
        limit = min(limit, FREE_INFLATED + LIKELY_RATIO * source.size)
    if member.size > limit:
        raise Malformed(f"member {member.name[:80]!r} has {member.size} bytes")
    data = source.read(member.offset, member.packed)
    if member.method == STORED:
        return data
    _only_deflated(member)
    return inflate(data, member.size)


def head(source: Source, member: Member, length: int) -> bytes:
    """The first ``length`` bytes of a member, fewer when it is shorter."""
    length = min(length, member.size)
    if member.method == STORED:
        return source.read(member.offset, length)
    _only_deflated(member)
    inflater = zlib.decompressobj(-15)
    # Deflating makes nothing longer than this, so what is needed lies within.
    packed = source.read(member.offset, min(member.packed, length + length // 1000 + 1024))
    try:
        return inflater.decompress(packed, length) if length else b""
    except zlib.error as error:
        raise Malformed(f"member {member.name!r} cannot be inflated: {error}") from None


def inflate(data: bytes, size: int) -> bytes:
    """The ``size`` bytes that were deflated to ``data``; never makes more than one beyond.

    Raises:
        Malformed: there are fewer or more, or it is no deflated stream.
    """
    inflater = zlib.decompressobj(-15)
    try:
        result = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Malformed(f"bytes that cannot be inflated: {error}") from None
    if len(result) != size or not inflater.eof or inflater.unused_data:
        raise Malformed(f"deflated bytes that do not give the {size} that were promised")
    return result


def tensor(
    member: Member,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    span: tuple[int, int],
    encoding: str,
    args: dict[str, Any],
) -> Tensor:
    """A tensor whose bytes are ``span`` (start, length) of a member, wherever and however that is written."""
    start, length = span
    if start < 0 or length < 0 or start + length > member.size:
        raise Malformed(f"{name!r} lies outside of member {member.name!r}")
    if not length:
        return Tensor(name, dtype, shape, ())
    if member.method == STORED:
        return Tensor(name, dtype, shape, (Extent(member.offset + start, length),), encoding, args)
    _only_deflated(member)
    packing = {"size": member.size, "start": start, "length": length, "encoding": encoding, "args": args}
    return Tensor(name, dtype, shape, (Extent(member.offset, member.packed),), "deflated", packing)


def segment(member: Member, name: str, dtype: str, span: tuple[int, int]) -> Segment:
    """The run of bytes of a tensor's elements; the whole member, opaque, when they are deflated."""
    if member.method == STORED:
        return Segment(member.offset + span[0], span[1], name, dtype)
    return Segment(member.offset, member.packed)


def _only_deflated(member: Member) -> None:
    if member.method != DEFLATED:
        raise Malformed(f"member {member.name!r} is packed with method {member.method}")


def directory(source: Source) -> tuple[int, int, int]:
    """Start, length in bytes and number of entries of the central directory."""
    place, fields = _end_record(source)
    _, disk, first_disk, here, count, length, start, _ = fields
    locator = b""
    if place >= _LOCATOR.size:
        locator = source.read(place - _LOCATOR.size, _LOCATOR.size)
    if locator.startswith(b"PK\x06\x07"):
        _, end_disk, place, disks = _LOCATOR.unpack(locator)
        if end_disk or disks > 1:
            raise Malformed("an archive of several parts")
        wide = _END64.unpack(source.read(place, _END64.size))
        if wide[0] != b"PK\x06\x06":
            raise Malformed("its zip64 end record is not where it should be")
        narrow = (disk, first_disk, here, count, length, start)
        sentinels = (0xFFFF,) * 4 + (_SENTINEL,) * 2
        for small, large, sentinel in zip(narrow, wide[4:], sentinels, strict=True):
            if small not in {large, sentinel}:
                raise Malformed("its two end records disagree")
        disk, first_disk, here, count, length, start = wide[4:]
    if disk or first_disk or here != count:
        raise Malformed("an archive of several parts")
    if count > MAX_MEMBERS or length > MAX_DIRECTORY:
        raise Malformed(f"an archive of {count} members with a directory of {length} bytes")
    if start + length != place:
        raise Malformed("its directory is not where its end record says")
    return start, length, count


def _end_record(source: Source) -> tuple[int, tuple[Any, ...]]:
    """Place and fields of the record at the very end, which a comment may follow that must not look like another."""
    for reach in (min(_END.size, source.size), min(_END.size + 0xFFFF, source.size)):
        base = source.size - reach
        tail = source.read(base, reach)
        at = tail.rfind(b"PK\x05\x06")
        if at >= 0:
            break
    if at < 0 or at + _END.size > len(tail):
        raise Malformed("it has no end record of a zip archive")
    fields = _END.unpack_from(tail, at)
    if at + _END.size + fields[-1] != len(tail):
        raise Malformed("its end record is not at its end")
    return base + at, fields


def _entries(records: bytes, count: int) -> Iterable[_Entry]:
    place = 0
    for _ in range(count):
        if place + _CENTRAL.size > len(records):
            raise Malformed("its directory is cut")
        (mark, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, _, header) = (
            _CENTRAL.unpack_from(records, place)
        )
        after = place + _CENTRAL.size + name
        end = after + extra + comment
        if mark != b"PK\x01\x02" or end > len(records):
            raise Malformed("its directory is damaged")
        if flags & _ENCRYPTED:
            raise Malformed("it is encrypted")
        size, packed, header = _widened(records[after : after + extra], size, packed, header)
        if disk not in {0, 0xFFFF}:
            raise Malformed("an archive of several parts")
        yield _Entry(records[place + _CENTRAL.size : after], flags, method, crc, packed, size, header)
        place = end
    if place != len(records):
        raise Malformed("its directory is longer than its entries")


def _widened(extra: bytes, *values: int) -> list[int]:
    """Replace the values that do not fit 32 bits by those of the zip64 extra field, in its order."""
    wanted = [index for index, value in enumerate(values) if value == _SENTINEL]
    result = list(values)
    place = 0
    while wanted:
        if place + 4 > len(extra):
            raise Malformed("a zip64 size is missing")
        kind, length = struct.unpack_from("<2H", extra, place)
        place += 4
        if kind == 1:
            if length < 8 * len(wanted) or place + length > len(extra):
                raise Malformed("a zip64 size is missing")
            for index, value in zip(
                wanted, struct.unpack_from(f"<{len(wanted)}Q", extra, place), strict=True
            ):
                result[index] = value
            break
        place += length
    return result


def _member(source: Source, entry: _Entry, end: int) -> Member:
    """Hold a directory entry against the local header, which alone tells where the bytes begin.

    At ``end`` the next member begins, or the directory: nothing beyond is read, so that all reads together stay small.
    """
    local = source.read(entry.header, _LOCAL.size)
    mark, _, flags, method, _, _, _, packed, size, name, extra = _LOCAL.unpack(local)
    if mark != b"PK\x03\x04":
        raise Malformed("a member is not where the directory says")
    offset = entry.header + _LOCAL.size + name + extra
    if offset + entry.packed > end:
        raise Malformed("two members of the archive overlap, or one reaches into the directory")
    rest = source.read(entry.header + _LOCAL.size, name + extra)
    if rest[:name] != entry.name or method != entry.method or flags & _ENCRYPTED:
        raise Malformed("a member is another than the directory says")
    if not flags & _DESCRIPTOR:
        if _SENTINEL in {size, packed}:
            size, packed = _widened(rest[name:], size, packed)
        if (size, packed) != (entry.size, entry.packed):
            raise Malformed("a member has another size than the directory says")
    if entry.method == STORED and entry.packed != entry.size:
        raise Malformed("a stored member with two sizes")
    if entry.method == DEFLATED and entry.size > DEFLATE_RATIO * entry.packed:
        raise Malformed("a deflated member that promises more than it can hold")
    return Member(
        _text(entry), entry.method, offset, entry.packed, entry.size, entry.crc, entry.header
    )  # fmt: skip


def _text(entry: _Entry) -> str:
    """The member's name; it is only compared and shown, never used as a path, but may be no trick either."""
    try:
        name = entry.name.decode("utf-8" if entry.flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise Malformed("a member's name is no text") from None
    if "\0" in name or ".." in name.replace("\\", "/").split("/"):
        raise Malformed(f"a member is called {name[:80]!r}")
    return name
