"""Files that were read before and have not changed since, so that they need not be read again.

The list is a cache of this machine until it is started again: it may be lost or damaged, the last of several writers
wins, and nothing is believed of it but which bytes a file has. A file is known by its device, its inode and a hash of
its last name, on which it may depend how its bytes are read. The list is sealed like everything else.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from lepton_ai._version import __version__
from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged
from lepton_ai.history.headstart import HeadStart
from lepton_ai.history.sight import Sight, Watch, boot, look, pass_by
from lepton_ai.store.seal.keyring import Keyring

if TYPE_CHECKING:
    from hashlib import _Hash

SMALLEST = 4096
"""Bytes below which reading costs no more than asking."""

WRITTEN = 4 << 20
"""Bytes below which a file that we wrote is rather read than waited for."""

MOST = 4096
"""Files that are remembered at most: 350 KB."""

PURPOSE = b"lepton-ai seen 1"
LEFT = 60.0
"""Seconds after which a file that was being written has no writer any more."""

_File = tuple[int, int, bytes]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A file that was read: how it looked, the SHA-256 of its bytes, and the hash of its name."""

    sight: Sight
    digest: bytes
    name: bytes


class _List(msgspec.Struct, frozen=True, array_like=True):
    """What the file holds. Another ``version`` may read other tensors in the same bytes."""

    boot: str
    version: str
    files: tuple[Known, ...]


class Seen:
    """The list of one repository, kept at ``path``; make a new one for every save.

    ``read_all``: nothing is recalled, only remembered.
    """

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        read_all: bool = False,
        head_start: HeadStart | None = None,
    ) -> None:
        self._path, self._keyring, self._read_all, self._head_start = path, keyring, read_all, head_start
        self._watch, self._boot = Watch(), boot()
        self._known: dict[_File, Known] | None = None
        self._new: dict[_File, Known] = {}

    def recall(self, place: Path, name: str) -> Known | None:
        """What is known of a file when its bytes certainly are those that were read; ``name`` is its last one."""
        if self._read_all:
            return None
        if self._known is None:
            self._known = self._read()
        if not self._known:
            return None
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:  # whoever reads it will say
            return None
        try:
            known = self._known.get(self._key(look(descriptor), name))
            if known is None or self._watch.lasting(descriptor) != known.sight:
                return None
            if self._head_start is not None:
                self._head_start.unneeded(known.sight)
            return known
        finally:
            os.close(descriptor)

    def look(self, descriptor: int) -> Sight | None:
        """To be asked before a file is read: how it looks; None when it is not to be remembered."""
        if not self._boot or os.fstat(descriptor).st_size < SMALLEST:
            return None
        return self._watch.lasting(descriptor)

    def begun(self, sight: Sight | None) -> tuple[_Hash, int] | None:
        """What is known already of the SHA-256 of a file that looks like ``sight``, and of how many bytes it is."""
        return self._head_start.of(sight) if self._head_start and not self._read_all else None

    def remember(self, before: Sight | None, descriptor: int, name: str, digest: bytes) -> bool:
        """Remember a file that was read after it looked like ``before``; False when it looks different now."""
        if before is None or look(descriptor) != before:
            return False
        key = self._key(before, name)
        self._new[key] = Known(before, digest, key[2])
        return True

    def finished(self, descriptor: int) -> int | None:
        """To be asked when we have written all of a new file that nobody else knows, before it gets its name: the time
        of its last write, which no later write has. None: it is not to be remembered.
        """
        status = os.fstat(descriptor)
        worthwhile = self._boot and status.st_size >= WRITTEN
        return status.st_mtime_ns if worthwhile and pass_by(status.st_mtime_ns) else None

    def wrote(self, finished: int | None, place: Path, digest: bytes) -> None:
        """Remember a file that we wrote, and that is at ``place`` now."""
        if finished is None:
            return
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:  # somebody else's already
            return
        try:
            passed = pass_by(os.fstat(descriptor).st_ctime_ns)
            found = self._watch.lasting(descriptor, passed=passed)
            if found is not None and found.modified == finished:
                key = self._key(found, place.name)
                self._new[key] = Known(found, digest, key[2])
        finally:
            os.close(descriptor)

    def digest(self, place: Path, name: str) -> bytes:
        """The SHA-256 of a file, read when need be; ``name``: its last one."""
        known = self.recall(place, name)
        if known:
            return known.digest
        with place.open("rb") as handle:
            before = self.look(handle.fileno())
            digest = hashlib.file_digest(handle, "sha256").digest()
            self.remember(before, handle.fileno(), name, digest)
        return digest

    def _key(self, sight: Sight, name: str) -> _File:
        hashed = blake3(os.fsencode(name), key=self._keyring.id_key).digest(length=8)
        return sight.device, sight.inode, hashed

    def store(self) -> None:
        """Write the list. That it cannot be written does no harm."""
        if not self._new:
            return
        files = self._read()  # again: somebody else may have written it
        for key, entry in self._new.items():
            files.pop(key, None)
            files[key] = entry  # at the end: the oldest are dropped
        self._known, self._new = files, {}
        kept = _List(self._boot, __version__, tuple(files.values())[-MOST:])
        seal = self._keyring.current
        parts = seal.seal(msgspec.msgpack.encode(kept), PURPOSE)
        with suppress(OSError):  # no room, or no right: then the files are read once more
            _replace(self._path, b"".join((bytes([seal.number]), seal.key_id, *parts)))

    def _read(self) -> dict[_File, Known]:
        """The list as it is written; empty when it is none of ours, of this version, since this machine's start."""
        try:
            data = self._path.read_bytes()
            seal = self._keyring.current
            head = bytes([seal.number]) + seal.key_id
            if not data.startswith(head):  # not sealed as we seal, or with an older key
                return {}
            found = msgspec.msgpack.decode(seal.open(data[len(head) :], PURPOSE), type=ready(_List))
        except (OSError, Damaged, msgspec.DecodeError):  # it is only a cache
            return {}
        if (found.boot, found.version) != (self._boot, __version__):
            return {}
        return {(known.sight.device, known.sight.inode, known.name): known for known in found.files}


def _replace(path: Path, data: bytes) -> None:
    """Write a file as a whole, not durably; nothing happens while another process is at it, or if one died there.

    Raises:
        OSError.
    """
    aside = path.with_name(f"{path.name}.tmp")
    try:
        file = aside.open("xb")
    except FileExistsError:
        if time.time() - aside.stat().st_mtime > LEFT:
            aside.unlink(missing_ok=True)
        return
    try:
        with file:
            file.write(data)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
