"""The byte layouts of objects and packs, format 1 (docs/format.md, "Packs" and "Objects").

    pack    = HEAD · eight random bytes · object… · footer · trailer
    object  = header · body            the body is the seal's
    footer  = TABLE · the headers of all objects, in order
    trailer = footer length, number of objects (u64 each) · BLAKE3 of the footer · TAIL

The random bytes make every pack's name new, also when the same objects were packed before: a pack that is being
deleted is never the one that is being written. All numbers are little-endian. The format changes only by a new
version number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from lepton_ai.errors import Damaged, TooNew

FORMAT = 1
HEAD = b"LpPack" + FORMAT.to_bytes(2, "little")
HEAD_SIZE = len(HEAD) + 8
TAIL = b"LpFoot" + FORMAT.to_bytes(2, "little")
TABLE = b"LpToc\0" + FORMAT.to_bytes(2, "little")
MARK = b"LpO" + FORMAT.to_bytes(1, "little")

BLOCK, SMALL = 0, 1
"""Kinds of objects: a block of a file, a small object (a manifest)."""

KEY_ID_SIZE = 8
HAS_BASE = 1

_FIXED = struct.Struct("<4s8B8sII32s")
_TRAILER = struct.Struct("<QQ32s8s")
HEADER_SIZE = _FIXED.size
"""Bytes of a header without a base; a base's id adds 32."""
LARGEST_HEADER = HEADER_SIZE + 32
TRAILER_SIZE = _TRAILER.size
LARGEST = (1 << 31) - 1
"""No object is larger than this, plain or stored."""


class Header(msgspec.Struct, frozen=True):
    """What stands in clear before every object's body; all of it is authenticated by the seal.

    ``width`` is the size of one number in bytes, ``element`` the number of its type in the codecs' table, ``depth``
    how many bases had to be opened to read it when it was written, ``plain_length`` and ``body_length`` are in bytes.
    """

    kind: int
    seal: int
    codec: int
    codec_version: int
    width: int
    element: int
    depth: int
    key_id: bytes
    plain_length: int
    body_length: int
    id: bytes
    base: bytes | None

    @property
    def header_size(self) -> int:
        """Bytes of the header itself."""
        return HEADER_SIZE if self.base is None else LARGEST_HEADER

    @property
    def size(self) -> int:
        """Bytes of the whole object in a pack."""
        return self.header_size + self.body_length

    def pack(self) -> bytes:
        """The header as bytes."""
        fixed = _FIXED.pack(
            MARK, HAS_BASE if self.base is not None else 0, self.kind, self.seal, self.codec, self.codec_version,
            self.width, self.element, self.depth, self.key_id, self.plain_length, self.body_length, self.id,
        )  # fmt: skip
        return fixed if self.base is None else fixed + self.base


def unpack_header(data: bytes | memoryview, offset: int = 0) -> Header:
    """The header that begins at ``offset``; unknown seals and codecs are no error here.

    Raises:
        Damaged: these bytes are no header.
        TooNew: they are one of a later format.
    """
    if len(data) < offset + HEADER_SIZE:
        raise Damaged("an object's header is cut")
    (
        mark, flags, kind, seal, codec, codec_version, width, element, depth, key_id, plain, body, id_,
    ) = _FIXED.unpack_from(data, offset)  # fmt: skip
    if mark != MARK:
        if mark[:3] == MARK[:3] and mark[3] > FORMAT:
            raise TooNew(
                f"objects of format {mark[3]} are not known to this version", hint="upgrade lepton-ai"
            )
        raise Damaged("no object begins where one should")
    if flags & ~HAS_BASE or plain > LARGEST or body > LARGEST:
        raise Damaged("an object's header makes no sense")
    base = None
    if flags & HAS_BASE:
        base = bytes(data[offset + HEADER_SIZE : offset + LARGEST_HEADER])
        if len(base) != 32:
            raise Damaged("an object's header is cut")
    return Header(kind, seal, codec, codec_version, width, element, depth, key_id, plain, body, id_, base)


def headers(footer: bytes) -> Iterator[tuple[int, Header]]:
    """The objects' offsets in the pack and their headers.

    Raises:
        Damaged: the footer does not consist of headers.
        TooNew.
    """
    check_version(footer[: len(TABLE)], TABLE, "the footer")
    place, offset = len(TABLE), HEAD_SIZE
    while place < len(footer):
        header = unpack_header(footer, place)
        yield offset, header
        place += header.header_size
        offset += header.size


def pack_trailer(footer_length: int, objects: int, digest: bytes) -> bytes:
    """The trailer of a pack; ``digest`` is the BLAKE3 of the footer."""
    return _TRAILER.pack(footer_length, objects, digest, TAIL)


def unpack_trailer(data: bytes) -> tuple[int, int, bytes]:
    """Footer length, number of objects and BLAKE3 of the footer.

    Raises:
        Damaged, TooNew.
    """
    if len(data) != TRAILER_SIZE:
        raise Damaged("the trailer is cut")
    length, objects, digest, tail = _TRAILER.unpack(data)
    check_version(tail, TAIL, "the trailer")
    return length, objects, digest


def check_version(found: bytes, expected: bytes, what: str) -> None:
    """Raise unless an eight-byte mark is the one of this format.

    Raises:
        Damaged, TooNew.
    """
    if found == expected:
        return
    version = int.from_bytes(found[6:8], "little")
    if len(found) == 8 and found[:6] == expected[:6] and version > FORMAT:
        raise TooNew(f"packs of format {version} are not known to this version", hint="upgrade lepton-ai")
    raise Damaged(f"{what} is not where it should be")


def blob_name(pack: str) -> str:
    """Where the pack called ``pack`` is kept."""
    return f"packs/{pack[:2]}/{pack}.pack"


def pack_name(blob: str) -> str | None:
    """The pack that is kept as ``blob``; None when that is not a pack's place."""
    name = blob.rpartition("/")[2].removesuffix(".pack")
    return name if len(name) == 64 and blob == blob_name(name) else None
