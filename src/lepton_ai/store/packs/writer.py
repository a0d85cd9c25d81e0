"""Writing one pack into a temporary file."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from lepton_ai.store.contract import Blobs
from lepton_ai.store.durable import flush, storage_errors
from lepton_ai.store.packs.format import HEAD, HEAD_SIZE, TABLE, blob_name, pack_trailer

PACK_SIZE = 512 << 20
"""A pack that has grown to this many bytes gets no more objects."""

HEAD_PACK_SIZE = 32 << 20
"""The same for packs of blocks that later saves make needless."""

MANY = 64
"""Packs of the same size that one save writes; the next ones are larger. A process may open about 1,000 files."""

SETTLED = 60.0
"""Seconds after which a temporary file that nobody locks is a leftover of a dead process."""


class PackWriter:
    """Objects, appended to a file in ``folder`` that stays locked until it is published or discarded."""

    def __init__(self, folder: Path, limit: int = PACK_SIZE) -> None:
        self._limit = limit
        self.path = folder / f"pack-{os.getpid()}-{secrets.token_hex(6)}.tmp"
        self.footer = bytearray(TABLE)
        self.objects = 0
        self.size = 0
        self.name = ""
        self._hash = blake3()
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=1 << 18)
            with suppress(OSError):  # some network file systems have no locks: then the file is never swept
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write(HEAD + os.urandom(HEAD_SIZE - len(HEAD)))

    def _write(self, data: bytes | bytearray) -> None:
        with storage_errors(self.path.parent, len(data)):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def append(self, header: bytes, *body: bytes) -> None:
        """Append one object: its packed header and the parts of its body."""
        self._write(b"".join((header, *body[:-1])))
        for part in body[-1:]:
            self._write(part)
        self.footer += header
        self.objects += 1

    @property
    def full(self) -> bool:
        """Whether the pack should get no more objects."""
        return self.size >= self._limit

    def close(self) -> None:
        """Write footer and trailer; the name is known afterwards. Once is enough."""
        if self.name:
            return
        footer = bytes(self.footer)
        self._write(footer)
        self._write(pack_trailer(len(footer), self.objects, blake3(footer).digest()))
        with storage_errors(self.path.parent):
            self._file.flush()
        self.name = self._hash.hexdigest()

    def flush(self) -> None:
        """Close it, and force its bytes to the medium; its name there is for :meth:`publish`."""
        self.close()
        with storage_errors(self.path.parent):
            flush(self._file.fileno())

    def publish(self, blobs: Blobs) -> None:
        """Hand the closed pack over to ``blobs``; it is durable when this returns."""
        blobs.put(blob_name(self.name), self.path)
        self._file.close()

    def discard(self) -> None:
        """Forget everything; harmless after :meth:`publish`."""
        if not self._file.closed:
            with suppress(OSError):  # what could not be written need not be
                self._file.close()
            self.path.unlink(missing_ok=True)


class Row:
    """Packs that are filled one after the other. The more there are, the larger they get: all of them stay open."""

    def __init__(self, folder: Path, *, head: bool) -> None:
        """``head``: for blocks that later saves make needless; they lie in smaller packs, which go as a whole."""
        self._folder, self._smallest = folder, HEAD_PACK_SIZE if head else PACK_SIZE
        self._before = 0
        self.packs: list[PackWriter] = []

    def append(self, header: bytes, *body: bytes) -> PackWriter | None:
        """Append one object; the pack that gets no more, when this one begins another."""
        done = self.packs[-1] if self.packs and self.packs[-1].full else None
        if not self.packs or done is not None:
            self._before += done.size if done is not None else 0
            self.packs.append(PackWriter(self._folder, max(self._smallest, self._before // MANY)))
        self.packs[-1].append(header, *body)
        return done


def sweep(folder: Path) -> None:
    """Remove what dead processes left in ``folder``: files that nobody locks and that are not brand-new."""
    for path in folder.glob("pack-*.tmp"):
        with storage_errors(path), suppress(FileNotFoundError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime < SETTLED:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its writer lives, or nobody can tell
                continue
            path.unlink(missing_ok=True)
