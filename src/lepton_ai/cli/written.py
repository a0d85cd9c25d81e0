"""Files that commands write where somebody says: whole or not at all, and over nothing without ``--force``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lepton_ai.errors import StorageFailed, UsageError, WouldOverwrite


def target(given: str | None, *, force: bool) -> Path | None:
    """The place of a file that is to be written; to be asked before any work.

    Raises:
        WouldOverwrite: there is one, and not ``force``.
        UsageError: it is a folder, or lies in none.
    """
    if not given:
        return None
    place = Path(given).expanduser()
    if place.is_dir():
        raise UsageError(f"{place} is a folder", hint="name a file")
    if not place.parent.is_dir():
        raise UsageError(f"there is no folder {place.parent}", hint="make it, or name another place")
    if place.exists() and not force:
        raise WouldOverwrite(f"there is a file {place} already", hint="choose another name, or use --force")
    return place


def write(place: Path, content: Callable[[BinaryIO], object]) -> None:
    """Let ``content`` write a file.

    Raises:
        StorageFailed.
    """
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            content(file)
        part.replace(place)
    except OSError as problem:
        raise StorageFailed(
            f"{place} cannot be written: {problem.strerror}", hint="check the path and its permissions"
        ) from problem
    finally:
        with suppress(OSError):  # not there: what kept it from being written keeps it from being removed
            part.unlink()
