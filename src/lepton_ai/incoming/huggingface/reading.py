"""What a cache and a model's folder have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lepton_ai.incoming.contract import File, Kind, Label
from lepton_ai.incoming.values import LARGEST
from lepton_ai.store.durable import storage_errors

MAIN = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
_SKIPPED = frozenset({".cache", ".git", ".lepton", ".locks", "__pycache__", ".ipynb_checkpoints"})


class Local:
    """What both have in common: everything lies in folders, and there are no labels."""

    kind: Kind = "huggingface"
    main = MAIN

    def labels(self) -> Sequence[Label]:
        """None: a cache does not tell tags from branches."""
        return ()

    def write(self, file: File, target: Path) -> None:
        """Nothing is to be had from a source alone."""
        raise AssertionError(f"{file.path} for {target} lies in a folder")

    def close(self) -> None:
        """Nothing is open."""


def walk(folder: Path) -> Iterator[File]:
    """Every file below a folder, links to files as what they lead to."""
    with storage_errors(folder):
        for here, folders, names in os.walk(folder):
            folders[:] = sorted(set(folders) - _SKIPPED)
            for name in sorted(names):
                place = Path(here, name)
                path = place.relative_to(folder).as_posix()
                if place.is_file():
                    real = place.resolve()
                    yield File(path, real, check=_check(place, real))
                elif place.is_symlink():
                    yield File(path, lacking=f"the blob {place.readlink().name} is not in the cache")


def reader(files: Mapping[str, File]) -> Callable[[str], bytes]:
    """Reads small files by their paths; a large one, or one that is nowhere, is empty."""

    def read(path: str) -> bytes:
        place = files[path].place
        if place is None or place.stat().st_size > LARGEST:
            return b""
        return place.read_bytes()

    return read


def modified(place: Path) -> int:
    """When a file was written last, in microseconds since 1970."""
    return place.stat().st_mtime_ns // 1000


def _check(place: Path, real: Path) -> tuple[str, str] | None:
    """Blobs are called by what they hash to: SHA-256 of large files, git's SHA-1 of small ones."""
    if not place.is_symlink() or real.parent.name != "blobs":
        return None
    if re.fullmatch("[0-9a-f]{64}", real.name):
        return "sha256", real.name
    return ("git", real.name) if COMMIT.fullmatch(real.name) else None
