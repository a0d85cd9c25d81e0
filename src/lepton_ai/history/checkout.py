"""Put a version's files into a folder without losing anything that lies there."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from lepton_ai.errors import Damaged, NoSpace, StorageFailed, WouldOverwrite
from lepton_ai.history.reading import Reader
from lepton_ai.history.refs.contract import Records
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import FileEntry

RESERVE = 16 << 20
"""Bytes that are left free on a disk."""


def checkout(
    reader: Reader,
    records: Records,
    entries: Iterable[FileEntry],
    folder: Path,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> list[Path]:
    """Write the files into ``folder`` (made when missing) and return their places.

    A file that is there already with the same bytes stays; one whose bytes the repository keeps is replaced; any
    other is left alone unless ``force``, which keeps a copy of it beside.

    Raises:
        WouldOverwrite: a file in the way is not kept in the repository; nothing was written.
        NoSpace, StorageFailed, Damaged.
    """
    files = list(entries)
    todo, in_the_way = [], []
    for entry in files:
        place = inside(folder, entry.path)
        state = _compare(place, entry, records)
        if state != "same":
            todo.append(entry)
        if state == "unknown":
            in_the_way.append(place)
    if in_the_way and not force:
        raise WouldOverwrite(
            f"{in_the_way[0]} has content that is not in the repository"
            + (f", and {len(in_the_way) - 1} more" if len(in_the_way) > 1 else ""),
            hint="save it first, choose another folder with -o, or use --force, which keeps a copy",
        )
    check_space(folder, sum(entry.size for entry in todo))
    for place in in_the_way:
        _keep_copy(place)
    progress.start("checking out", sum(entry.size for entry in todo))
    for entry in todo:
        _write(reader, entry, folder, progress)
    return [inside(folder, entry.path) for entry in files]


def inside(folder: Path, path: str) -> Path:
    """The place of ``path`` in ``folder``.

    Raises:
        Damaged: the path would leave the folder, or a link on the way leads out of it.
    """
    place = folder / path
    if path.startswith("/") or ".." in Path(path).parts:
        raise Damaged(f"the version has a file with the path {path!r}, which leaves the folder")
    if not place.parent.resolve().is_relative_to(folder.resolve()):
        raise Damaged(
            f"a symbolic link leads {path!r} out of {folder}", hint="check out into an empty folder"
        )
    return place


def check_space(folder: Path, needed: int) -> None:
    """Raise NoSpace unless the disk of ``folder`` has room for ``needed`` bytes and a reserve."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed + RESERVE > free:
        raise NoSpace(
            f"{existing} has {free >> 20} MiB free, {(needed + RESERVE) >> 20} MiB may be needed",
            hint="free some space, run lepton gc, or use another disk",
        )


def _compare(place: Path, entry: FileEntry, records: Records) -> str:
    """ "same", "free" (nothing there), "kept" (its bytes are in the repository), or "unknown"."""
    if place.is_symlink():
        return "same" if entry.target is not None and place.readlink().as_posix() == entry.target else "kept"
    if not place.exists():
        return "free"
    if place.is_dir():
        return "unknown"
    with place.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").digest()
    if digest.hex() == entry.sha256:
        return "same" if bool(place.stat().st_mode & 0o100) == entry.executable else "kept"
    return "kept" if records.contents([digest]) else "unknown"


def _keep_copy(place: Path) -> None:
    copy = place.with_name(f"{place.name}.kept-{secrets.token_hex(3)}")
    place.rename(copy)


def _write(reader: Reader, entry: FileEntry, folder: Path, progress: Progress) -> None:
    place = inside(folder, entry.path)
    temporary = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}.lepton-part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.target is not None:
            _check_target(folder, place, entry.target)
            temporary.symlink_to(entry.target)
        else:
            with temporary.open("wb") as sink:
                reader.copy(entry, sink, progress)
            if entry.executable:
                temporary.chmod(temporary.stat().st_mode | 0o111)
        temporary.replace(place)
    except OSError as problem:
        raise _plain(problem, place) from problem
    finally:
        temporary.unlink(missing_ok=True)


def _check_target(folder: Path, place: Path, target: str) -> None:
    aim = Path(os.path.normpath(place.parent.resolve() / target))
    if Path(target).is_absolute() or not aim.is_relative_to(folder.resolve()):
        raise Damaged(f"the link {place} would lead out of the folder, to {target!r}")


def _plain(problem: OSError, place: Path) -> NoSpace | StorageFailed:
    if problem.errno in (28, 122):  # ENOSPC, EDQUOT
        return NoSpace(f"the disk became full while writing {place}", hint="free some space, then repeat")
    return StorageFailed(
        f"{place} cannot be written: {problem.strerror}", hint="check the path and its permissions"
    )
