"""Whether the bytes at hand are those that the source means: by its own checksums, before anything is saved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.incoming.contract import File
from lepton_ai.store.durable import storage_errors

if TYPE_CHECKING:
    from hashlib import _Hash

PART = 1 << 20
NAMES = {"sha256": "SHA-256", "md5": "MD5", "git": "git's SHA-1"}


class Checks:
    """Remembers what was found sound: many versions share an object."""

    def __init__(self) -> None:
        self._sound: set[tuple[Path, str, str]] = set()

    def trouble(self, file: File, place: Path) -> str:
        """Why the bytes at ``place`` are not those of ``file``; "" when they are, or nothing is known of them."""
        if file.check is None:
            return ""
        algorithm, wanted = file.check
        if (place, algorithm, wanted) in self._sound:
            return ""
        if wanted not in _digests(place, algorithm):
            return f"{place} is damaged: it has another {NAMES[algorithm]} than {wanted}"
        self._sound.add((place, algorithm, wanted))
        return ""


def _digests(place: Path, algorithm: str) -> set[str]:
    """What the bytes may be known by: DVC before 3.0 took texts with Windows line ends for those without."""
    digest = _new(algorithm, place)
    unix = _new(algorithm, place) if algorithm == "md5" else None
    with storage_errors(place), place.open("rb") as file:
        text = b"\0" not in file.read(512)
        file.seek(0)
        while part := file.read(PART):
            while part.endswith(b"\r") and (more := file.read(1)):
                part += more
            digest.update(part)
            if unix is not None and text:
                unix.update(part.replace(b"\r\n", b"\n"))
    return {digest.hexdigest()} | ({unix.hexdigest()} if unix is not None and text else set())


def _new(algorithm: str, place: Path) -> _Hash:
    if algorithm == "md5":
        return hashlib.md5(usedforsecurity=False)
    if algorithm == "sha256":
        return hashlib.sha256()
    with storage_errors(place):
        size = os.stat(place).st_size  # noqa: PTH116  (follows the links of a cache as open does)
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
