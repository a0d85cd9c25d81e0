"""What every peer can do, and what a run of it is."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Step:
    """One whole process: ``commands`` one after the other, in ``folder``."""

    commands: tuple[tuple[str, ...], ...]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        """What is started: the command itself, or a shell that runs several and stops at the first failure."""
        if len(self.commands) == 1:
            return list(self.commands[0])
        return ["/bin/sh", "-ec", "\n".join(shlex.join(command) for command in self.commands)]


class Peer(Protocol):
    """A tool that keeps versions of a file. It lives in one folder; the file lies in ``folder/work``."""

    name: str
    note: str
    """How it was set up, in a few words for the reader of the table."""

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""

    def version(self) -> Step:
        """Print the tool's version."""

    def setup(self, folder: Path) -> Step:
        """Make an empty store in ``folder``; its ``work`` and ``home`` are there already."""

    def save(self, file: Path, number: int, parent: int) -> Step:
        """Keep ``file`` as version ``number``, which was trained from version ``parent`` (0: from none)."""

    def restore(self, number: int, target: Path) -> Step:
        """Write version ``number`` into the folder ``target``, under the name that it was saved from."""

    def stored(self) -> int:
        """Bytes of everything that the peer keeps, the file in ``work`` aside."""


def program(*places: Path | str) -> str | None:
    """The first of these programs that is there, with its path."""
    return next((str(found) for place in places if (found := shutil.which(place))), None)


def size(parts: Iterable[Path]) -> int:
    """Bytes of all files under these folders, each inode once."""
    seen: dict[tuple[int, int], int] = {}
    for part in parts:
        for folder, _, names in os.walk(part):
            for name in names:
                entry = (Path(folder) / name).lstat()
                seen[entry.st_dev, entry.st_ino] = entry.st_size
    return sum(seen.values())
