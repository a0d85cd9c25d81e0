"""The file that a checkout replaces: blocks of the new one, or what they are differences to, lie in it already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_ai.history.reading import Reader
from lepton_ai.store.blocks.span import Span
from lepton_ai.store.reader import Near

SMALLEST = 1 << 20
"""Bytes of a file from which on looking into it is worth it."""


@contextmanager
def replaced(reader: Reader, place: Path, digest: str | None) -> Iterator[Near | None]:
    """What finds blocks in the file at ``place``, which has, or had a moment ago, the content ``digest``.

    None where there is nothing to be gained. Whoever asks checks what comes: the file may change at any time.
    """
    descriptor = None
    if digest is not None:
        with suppress(OSError):  # gone: then everything is decoded
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if digest is None or descriptor is None:
        yield None
        return
    try:
        yield _finding(reader, descriptor, digest) if os.fstat(descriptor).st_size >= SMALLEST else None
    finally:
        os.close(descriptor)


def _finding(reader: Reader, descriptor: int, digest: str) -> Near:
    content = reader.content(digest)
    where: dict[bytes, tuple[int, int]] = {}
    offset = 0
    for piece in Span(content).pieces(0, content.size):
        if piece.length == piece.size:
            where[piece.id] = piece.size, offset
        offset += piece.length

    def near(id_: bytes) -> bytes | None:
        found = where.get(id_)
        if found is None:
            return None
        with suppress(OSError):
            return os.pread(descriptor, *found)
        return None

    return near
