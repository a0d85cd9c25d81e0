"""Put a version's files into a folder without losing anything that lies there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import msgspec

from lepton_ai.errors import Damaged, NoSpace, UsageError, WouldOverwrite
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.kept import Claim, kept
from lepton_ai.history.paths import trouble
from lepton_ai.history.reading import Reader
from lepton_ai.history.replaced import replaced
from lepton_ai.history.seen import Seen
from lepton_ai.history.staging import hold, part_beside, sweep_parts
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.durable import storage_errors
from lepton_ai.types import FileEntry

RESERVE = 16 << 20
"""Bytes that are left free on a disk."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say."""
Stamp = tuple[int, ...]
"""What changes whenever a file does: device, number, size and times of writing."""


class _Plan(msgspec.Struct, frozen=True):
    """What is to be written; what is in the way, and whether the repository can give it back; what lay there.

    ``kept``: the SHA-256 of those files in the way that it can.
    """

    todo: list[FileEntry]
    in_the_way: dict[Path, bool]
    damaged: frozenset[Path]
    kept: dict[Path, str]
    seen: dict[Path, Stamp]
    sights: Seen


def checkout(
    reader: Reader,
    home: AnyHome,
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
        WouldOverwrite: a file in the way is not kept in the repository; nothing was written. Or it was written by
            somebody else meanwhile; then files may have been written before it.
        NoSpace, StorageFailed, Damaged.
    """
    files = list(entries)
    problem = trouble([(entry.path, entry.target) for entry in files])
    if problem:
        raise Damaged(f"the version cannot be checked out: {problem}", hint="export its files one by one")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint="name a folder to check out into")
    with storage_errors(folder):
        plan = _plan(reader, home, files, folder, progress)
    unknown = [place for place, is_kept in plan.in_the_way.items() if not is_kept]
    if unknown and not force:
        raise _would_overwrite(unknown, plan.damaged)
    total = sum(entry.size for entry in plan.todo)
    check_space(folder, total)
    with storage_errors(folder):
        for place in unknown:
            _keep_copy(place)
        for place in plan.in_the_way.keys() - set(unknown) - {folder / entry.path for entry in plan.todo}:
            _remove(place, plan, force)  # a file where a folder goes; others are replaced in one step
        for parent in {(folder / entry.path).parent for entry in plan.todo}:
            sweep_parts(parent)
    progress.start("checking out", total)
    # links last: no file is written through a new one
    for entry in sorted(plan.todo, key=lambda entry: entry.target is not None):
        _write(reader, entry, folder, plan, force, progress)
    plan.sights.store()
    return [inside(folder, entry.path) for entry in files]


def _would_overwrite(unknown: list[Path], damaged: Collection[Path]) -> WouldOverwrite:
    more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    if unknown[0] in damaged:
        return WouldOverwrite(
            f"{unknown[0]} has content that is damaged in the repository{more}",
            hint="run lepton verify, then save the file again; or use --force, which keeps a copy",
        )
    return WouldOverwrite(
        f"{unknown[0]} has content that is not in the repository{more}",
        hint="save it first, choose another folder with -o, or use --force, which keeps a copy",
    )


def inside(folder: Path, path: str) -> Path:
    """The place of ``path`` in ``folder``.

    Raises:
        Damaged: the path would leave the folder, or a link on the way leads out of it.
    """
    place = folder / path
    if path.startswith("/") or ".." in Path(path).parts:
        raise Damaged(f"the version has a file with the path {path!r}, which leaves the folder")
    if not _leads_inside(place.parent, folder):
        raise Damaged(
            f"a symbolic link leads {path!r} out of {folder}", hint="check out into an empty folder"
        )
    return place


def check_space(folder: Path, needed: int) -> None:
    """Raise NoSpace unless the disk of ``folder`` has room for ``needed`` bytes and a reserve."""
    existing = folder
    while not os.path.exists(existing):  # noqa: PTH110  (Path.exists raises for a name that is too long)
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed + RESERVE > free:
        raise NoSpace(
            f"{existing} has {free >> 20} MiB free, {(needed + RESERVE) >> 20} MiB may be needed",
            hint="free some space, run lepton gc, or use another disk",
        )


def _plan(reader: Reader, home: AnyHome, files: list[FileEntry], folder: Path, progress: Progress) -> _Plan:
    sights = home.seen()
    todo: list[FileEntry] = []
    obstacles: dict[Path, Claim | None] = {}
    seen: dict[Path, Stamp] = {}
    for entry in files:
        place = inside(folder, entry.path)
        above = [folder / step for step in PurePosixPath(entry.path).parents if str(step) != "."]
        blocking = next((p for p in above if os.path.lexists(p) and not p.is_dir()), place)
        stamp = _stamp(blocking)  # before it is read: what is written meanwhile shows
        if stamp is not None:
            seen[blocking] = stamp
            claim = _claim(blocking, blocking.relative_to(folder).as_posix(), sights)
            if blocking != place or claim != _wanted(entry):
                obstacles[blocking] = claim
            elif entry.target is not None or _executable(place) == entry.executable:
                continue
        todo.append(entry)
    sights.store()
    claims = {claim for claim in obstacles.values() if claim is not None}
    known = kept(home.history, reader, claims, progress) if claims else {}
    return _Plan(
        todo,
        {place: claim is not None and known.get(claim, False) for place, claim in obstacles.items()},
        frozenset(place for place, claim in obstacles.items() if claim in known),
        {
            place: claim[1]
            for place, claim in obstacles.items()
            if claim is not None and not claim[0] and known.get(claim, False)
        },
        seen,
        sights,
    )


def _stamp(place: Path) -> Stamp | None:
    """What tells whether a file is still the same; None where nothing is."""
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _wanted(entry: FileEntry) -> Claim:
    return ("", entry.sha256) if entry.target is None else (entry.path, entry.target)


def _claim(place: Path, path: str, sights: Seen) -> Claim | None:
    """What lies there; None for a folder, and for what no version can have."""
    if place.is_symlink():
        return path, place.readlink().as_posix()
    if not place.is_file():
        return None
    return "", sights.digest(place, place.name).hex()


def _executable(place: Path) -> bool:
    return bool(place.stat().st_mode & 0o100)


def _keep_copy(place: Path) -> None:
    name = os.fsencode(place.name)[:240].decode("utf-8", "ignore")  # names end at 255 bytes
    place.rename(place.with_name(f"{name}.kept-{secrets.token_hex(3)}"))


def _write(
    reader: Reader, entry: FileEntry, folder: Path, plan: _Plan, force: bool, progress: Progress
) -> None:
    place = inside(folder, entry.path)
    temporary = part_beside(place)
    finished: int | None = None
    try:
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if entry.target is not None:
                _check_target(folder, place, entry.target)
                temporary.symlink_to(entry.target)
            else:
                with temporary.open("wb") as sink, replaced(reader, place, plan.kept.get(place)) as near:
                    hold(sink.fileno())
                    reader.copy(entry, sink, progress, near=near)
                    sink.flush()
                    finished = plan.sights.finished(sink.fileno())
                if entry.executable:
                    temporary.chmod(temporary.stat().st_mode | 0o111)
            _put(temporary, entry, place, plan, force)
    finally:
        with suppress(OSError):  # what went wrong before says more
            temporary.unlink(missing_ok=True)
    plan.sights.wrote(finished, place, bytes.fromhex(entry.sha256))  # now that no other name goes


def _put(temporary: Path, entry: FileEntry, place: Path, plan: _Plan, force: bool) -> None:
    """Give a file its name, over nothing but what the plan saw there.

    Raises:
        WouldOverwrite: something else came meanwhile, and not ``force``.
    """
    while True:
        found = _stamp(place)
        if found is None:
            if _linked(temporary, place):
                return
        elif found == plan.seen.get(place):
            temporary.replace(place)
            return
        elif _claim(place, entry.path, plan.sights) == _wanted(entry):
            return  # from another checkout of the same
        elif force:
            _keep_copy(place)
        else:
            raise _changed(place)


def _linked(temporary: Path, place: Path) -> bool:
    """Give a file its name where there is none; False when somebody else was faster."""
    try:
        os.link(temporary, place, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as problem:
        if problem.errno not in NO_LINKS:
            raise
        if os.path.lexists(place):
            return False
        temporary.replace(place)
    return True


def _remove(place: Path, plan: _Plan, force: bool) -> None:
    found = _stamp(place)
    if found is None:
        return
    if found == plan.seen[place]:
        place.unlink()
    elif force:
        _keep_copy(place)
    else:
        raise _changed(place)


def _changed(place: Path) -> WouldOverwrite:
    return WouldOverwrite(
        f"{place} was written by somebody else during the checkout, and was left alone",
        hint="look at it, then repeat the checkout",
    )


def _check_target(folder: Path, place: Path, target: str) -> None:
    if target.startswith("/") or not _leads_inside(place.parent / target, folder):
        raise Damaged(f"the link {place} would lead out of the folder, to {target!r}")


def _leads_inside(place: Path, folder: Path) -> bool:
    """Whether ``place`` lies in ``folder``, every link on the way followed."""
    try:
        return place.resolve().is_relative_to(folder.resolve())
    except (RuntimeError, OSError):  # links in a circle
        return False
