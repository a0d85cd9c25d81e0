"""The zip walker, against zipfile on honest archives and alone on the others."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import pytest

from lepton_ai.formats import zip_members
from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.formats.zip_members import DEFLATED, STORED, Member, inflate, members

CONTENT = {"a/one": b"first", "a/two": bytes(5000), "empty": b"", "folder/": b"", "ü": b"last"}


class Pipe(io.RawIOBase):
    """A stream that cannot seek: zipfile then writes sizes after the data."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def built(
    method: int = zipfile.ZIP_STORED, *, wide: bool = False, comment: bytes = b"", prefix: bytes = b""
) -> bytes:
    stream = io.BytesIO(prefix)
    with zipfile.ZipFile(stream, "a", method) as archive:
        archive.comment = comment
        for name, data in CONTENT.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=wide) as member:
                member.write(data)
    return stream.getvalue()


def piped() -> bytes:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:  # type: ignore[call-overload]
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    return pipe.data


def walked(data: bytes) -> tuple[Member, ...]:
    return members(BytesSource(data))


HONEST = {
    "stored": built(),
    "deflated": built(zipfile.ZIP_DEFLATED),
    "zip64": built(wide=True),
    "zip64 deflated": built(zipfile.ZIP_DEFLATED, wide=True),
    "comment": built(comment=b"hello"),
    "longest comment": built(comment=b"c" * 65535),
    "data before the archive that its offsets know": built(prefix=b"#!/bin/sh\n"),
    "sizes after the data": piped(),
}


@pytest.mark.parametrize("data", HONEST.values(), ids=HONEST.keys())
def test_honest_archives_are_seen_as_zipfile_sees_them(data: bytes) -> None:
    found = walked(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert [(m.name, m.method, m.size, m.packed, m.crc, m.header) for m in found] == [
            (i.filename, i.compress_type, i.file_size, i.compress_size, i.CRC, i.header_offset)
            for i in archive.infolist()
        ]
    source = BytesSource(data)
    for member in found:
        assert zip_members.read(source, member, 10_000) == CONTENT[member.name]
        assert zip_members.head(source, member, 3) == CONTENT[member.name][:3]


def test_more_members_than_16_bits_count() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(65_600):
            archive.writestr(f"{number}", b"")
    found = walked(stream.getvalue())
    assert len(found) == 65_600
    assert found[-1].name == "65599"


def local(
    name: bytes = b"n", data: bytes = b"data", *, flags: int = 0, method: int = 0, size: int | None = None
) -> bytes:
    size = len(data) if size is None else size
    fields = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 0, zlib.crc32(data), len(data), size, len(name), 0
    )
    return fields + name + data


def central(
    name: bytes = b"n",
    packed: int = 4,
    at: int = 0,
    *,
    flags: int = 0,
    method: int = 0,
    size: int | None = None,
    extra: bytes = b"",
    disk: int = 0,
) -> bytes:
    size = packed if size is None else size
    fields = (20, 20, flags, method, 0, 0, 0, packed, size, len(name), len(extra), 0, disk, 0, 0, at)
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + name + extra


def end(count: int, length: int, start: int, **fields: int) -> bytes:
    disk, first, here = fields.get("disk", 0), fields.get("first", 0), fields.get("here", count)
    return struct.pack("<4s4H2IH", b"PK\5\6", disk, first, here, count, length, start, 0)


def forged(locals_: bytes, centrals: bytes, count: int = 1, **fields: int) -> bytes:
    return locals_ + centrals + end(count, len(centrals), len(locals_), **fields)


def end64(
    count: int, length: int, start: int, *, at: int | None = None, disks: int = 1, narrow: Any = None
) -> bytes:
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + length if at is None else at, disks)
    small = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if narrow is None else narrow
    return record + locator + end(*small)


def test_the_builders_build_what_is_understood() -> None:
    """Else every refusal below would prove nothing."""
    assert walked(forged(local(), central()))[0].offset == 31
    assert len(walked(forged(local() + local(b"m"), central() + central(b"m", at=35), 2))) == 2
    assert walked(local() + central() + end64(1, len(central()), 35))[0].name == "n"
    other = struct.pack("<2H", 0x4246, 2) + b"ZZ"
    wide = central(packed=0xFFFFFFFF, size=0xFFFFFFFF, extra=other + struct.pack("<2H2Q", 1, 16, 4, 4))
    assert walked(forged(local(), wide))[0].size == 4


TWO = local() + local(b"m")
HOSTILE = {
    "empty": b"",
    "no end": local() + central(),
    "end alone with an entry": end(1, 46, 0),
    "comment like an end record": built(comment=b"PK\x05\x06" + bytes(30)),
    "comment like a part of an end record": built(comment=b"...PK\x05\x06"),
    "cut": built()[:-1],
    "data after the archive": built() + b"x",
    "data before the archive that its offsets do not know": b"x" * 10 + built(),
    "two archives": built() + built(),
    "directory beyond the file": local() + central() + end(1, 1000, 35),
    "directory of 4 GB": local() + central() + end(1, 2**32 - 2, 35),
    "directory starts too early": local() + central() + end(1, len(central()) + 4, 31),
    "more entries than there are": forged(local(), central(), 2),
    "fewer entries than there are": forged(TWO, central() + central(b"m", at=35), 1),
    "entry cut": forged(local(), central()[:-1]),
    "entry of another kind": forged(local(), b"XX" + central()[2:]),
    "name longer than the directory": forged(local(), central()[:28] + b"\xff\xff" + central()[30:]),
    "second disk": forged(local(), central(), disk=1),
    "directory on a second disk": forged(local(), central(), first=1),
    "part of the entries": forged(local(), central(), here=0),
    "member on a second disk": forged(local(), central(disk=1)),
    "encrypted": forged(local(), central(flags=1)),
    "encrypted in the local header": forged(local(flags=1), central()),
    "strongly encrypted": forged(local(), central(flags=1 << 6)),
    "masked": forged(local(), central(flags=1 << 13)),
    "no local header": forged(local(), central(at=1)),
    "local header beyond the file": forged(local(), central(at=2**31)),
    "local header in the directory": forged(local(), central(at=35)),
    "other name": forged(local(b"m"), central()),
    "other name of another length": forged(local(b"nn"), central()),
    "other method": forged(local(), central(method=8)),
    "other size": forged(local(), central(packed=3)),
    "stored with two sizes": forged(local(size=5), central(size=5)),
    "into the directory": forged(local(), central(packed=5)),
    "same name twice": forged(local() + local(), central() + central(at=35), 2),
    "same member twice": forged(local(), central() + central(), 2),
    "overlap": forged(local(data=b"." * 10 + local(b"m")), central(packed=45) + central(b"m", at=41), 2),
    "climbs": forged(local(b"a/../../b"), central(b"a/../../b")),
    "climbs backwards": forged(local(b"..\\b"), central(b"..\\b")),
    "zero in the name": forged(local(b"a\0b"), central(b"a\0b")),
    "name that is no UTF-8": forged(local(b"\xff"), central(b"\xff", flags=1 << 11)),
    "zip64 size missing": forged(local(), central(packed=0xFFFFFFFF)),
    "zip64 size short": forged(local(), central(packed=0xFFFFFFFF, extra=struct.pack("<2HI", 1, 4, 4))),
    "zip64 size cut": forged(local(), central(packed=0xFFFFFFFF, extra=struct.pack("<2H", 1, 8))),
    "zip64 offset huge": forged(local(), central(at=0xFFFFFFFF, extra=struct.pack("<2HQ", 1, 8, 2**64 - 1))),
    "zip64 end elsewhere": local() + central() + end64(1, len(central()), 35, at=0),
    "zip64 end beyond": local() + central() + end64(1, len(central()), 35, at=2**64 - 1),
    "zip64 on several disks": local() + central() + end64(1, len(central()), 35, disks=2),
    "ends that disagree": local() + central() + end64(1, len(central()), 35, narrow=(2, 47, 35)),
    "zip64 count of all bits": local() + central() + end64(2**64 - 1, len(central()), 35),
    "deflates to more than deflating can": forged(
        local(data=b"ab", method=8, size=5000), central(packed=2, method=8, size=5000)
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        walked(data)


def test_a_promise_of_a_million_members_costs_nothing() -> None:
    with pytest.raises(Malformed, match="members"):
        walked(local() + central() + end64(zip_members.MAX_MEMBERS + 1, len(central()), 35))


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_inflating_stops_at_the_promised_size() -> None:
    bomb = deflated(bytes(50_000_000))
    with pytest.raises(Malformed, match="promised"):
        inflate(bomb, 1000)
    assert inflate(deflated(b"abc"), 3) == b"abc"
    assert inflate(deflated(b""), 0) == b""
    for data, size in (
        (deflated(b"abc"), 4),
        (deflated(b"abc"), 2),
        (deflated(b"abc") + b"x", 3),
        (b"\xff\xff", 3),
        (b"", 0),
    ):
        with pytest.raises(Malformed):
            inflate(data, size)


def test_reading_a_member_obeys_its_limit_and_method() -> None:
    data = local(data=deflated(bytes(3000)), method=8, size=3000)
    source = BytesSource(data)
    packed = len(data) - 31
    member = Member("n", DEFLATED, 31, packed, 3000, 0, 0)
    assert zip_members.read(source, member, 3000) == bytes(3000)
    assert zip_members.head(source, member, 10) == bytes(10)
    with pytest.raises(Malformed, match="3000 bytes"):
        zip_members.read(source, member, 2999)
    with pytest.raises(Malformed, match="method 12"):
        zip_members.read(source, Member("n", 12, 31, packed, 3000, 0, 0), 3000)
    with pytest.raises(Malformed, match="method 12"):
        zip_members.head(source, Member("n", 12, 31, packed, 3000, 0, 0), 30)
    with pytest.raises(Malformed, match="cannot be inflated"):
        zip_members.head(BytesSource(b"\xff" * 50), Member("n", DEFLATED, 0, 50, 100, 0, 0), 30)


def test_a_tensor_lies_within_its_member() -> None:
    member = Member("n", STORED, 31, 8, 8, 0, 0)
    assert zip_members.tensor(member, "t", "uint8", (8,), (0, 8), "raw", {}).extents[0].offset == 31
    for span in ((1, 8), (-1, 4), (0, -1), (2**70, 1)):
        with pytest.raises(Malformed):
            zip_members.tensor(member, "t", "uint8", (8,), span, "raw", {})
