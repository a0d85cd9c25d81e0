"""Reading a pack's table of contents, also when its footer is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from lepton_ai.errors import Damaged, NotFound, StorageFailed
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import Blobs
from lepton_ai.store.packs.format import (
    HEAD,
    HEAD_SIZE,
    HEADER_SIZE,
    LARGEST_HEADER,
    TRAILER_SIZE,
    Header,
    blob_name,
    check_version,
    headers,
    pack_name,
    unpack_header,
    unpack_trailer,
)

TAIL_READ = 1 << 16
"""Bytes at the end of a pack in which its footer probably is."""
_STEP = 4 << 20


def is_there(blobs: Blobs, pack: str) -> bool:
    """Whether a pack has not been dropped, or lost."""
    try:
        blobs.info(blob_name(pack))
    except NotFound:
        return False
    return True


def read_footer(blobs: Blobs, pack: str, size: int) -> bytes:
    """The footer of ``pack``, checked: it is whole and describes exactly ``size`` bytes.

    Raises:
        Damaged: it is not; names the pack.
        NotFound, TooNew, StorageFailed.
    """
    try:
        return _footer(blobs, blob_name(pack), size)
    except Damaged as error:
        raise Damaged(f"Pack {pack}: {error.message}.", hint="see what is affected: lepton verify") from error


def _footer(blobs: Blobs, name: str, size: int) -> bytes:
    if size < HEAD_SIZE + TRAILER_SIZE:
        raise Damaged("it is cut")
    end = blobs.get(name, size - min(size, TAIL_READ), min(size, TAIL_READ))
    length, objects, digest = unpack_trailer(end[-TRAILER_SIZE:])
    if length > size - HEAD_SIZE - TRAILER_SIZE:
        raise Damaged("the footer's length is wrong")
    if length + TRAILER_SIZE <= len(end):
        footer = end[len(end) - TRAILER_SIZE - length : len(end) - TRAILER_SIZE]
    else:
        footer = blobs.get(name, size - TRAILER_SIZE - length, length)
    if blake3(footer).digest() != digest:
        raise Damaged("the footer is not what was written")
    check_version(blobs.get(name, 0, len(HEAD)), HEAD, "the head")
    count, last = 0, HEAD_SIZE
    for offset, header in headers(footer):
        count, last = count + 1, offset + header.size
    if count != objects or last + length + TRAILER_SIZE != size:
        raise Damaged("the footer does not describe the pack")
    return footer


def held_ids(path: Path) -> set[bytes]:
    """The objects of the pack in a file, by its footer.

    Raises:
        Damaged: it is no whole pack.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TRAILER_SIZE))
        length, _, digest = unpack_trailer(file.read(TRAILER_SIZE))
        file.seek(max(0, size - TRAILER_SIZE - length))
        footer = file.read(min(length, size))
    if blake3(footer).digest() != digest:
        raise Damaged("the footer is not what was written")
    return {header.id for _, header in headers(footer)}


def whole(blobs: Blobs, name: str, progress: Progress = SILENT) -> bool:
    """Whether the blob called ``name`` is there and is the pack that it is called after: a pack's name is its hash."""
    digest, offset = blake3(), 0
    try:
        size = blobs.info(name).size
        while offset < size:
            part = blobs.get(name, offset, min(_STEP, size - offset))
            digest.update(part)
            offset += len(part)
            progress.advance(0)  # a sign of life
    except (NotFound, Damaged, StorageFailed):
        return False
    return digest.hexdigest() == pack_name(name)


def scan(blobs: Blobs, pack: str, size: int) -> Iterator[tuple[int, Header]]:
    """Offsets and headers of the objects that can be walked from the pack's beginning, without the footer."""
    offset = HEAD_SIZE
    while offset + HEADER_SIZE <= size:
        try:
            raw = blobs.get(blob_name(pack), offset, min(LARGEST_HEADER, size - offset))
            header = unpack_header(raw)
        except Damaged:
            return
        if header.id == bytes(32) or offset + header.size > size:
            return
        yield offset, header
        offset += header.size
