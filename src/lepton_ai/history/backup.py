"""Copy a whole repository, while others write, and bring it back."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import AlreadyExists, Damaged, NotFound, StorageFailed
from lepton_ai.history import home as homes
from lepton_ai.history.checkout import check_space
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.leases import Lease
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.history.verify import Verifier
from lepton_ai.progress import SILENT, Progress

STEP = 4 << 20
_DATABASES = ("history.db", "history.db-journal", "index.db", "index.db-journal")


@dataclass(frozen=True)
class Copied:
    """What a backup or a restore copied: ``bytes`` and ``packs`` anew, ``versions`` verified."""

    folder: Path
    bytes: int
    packs: int
    versions: int


def backup(home: Home, target: Path, *, progress: Progress = SILENT, verify: bool = True) -> Copied:
    """Copy the repository into the folder ``target``: whole, or only what is new since the last backup there.

    The history is copied first, then the packs that were there at that moment; a lease keeps gc from deleting any of
    them meanwhile. Keys are copied as they are: wrapped. The copy is a repository itself, and is verified.

    Raises:
        AlreadyExists: ``target`` holds another repository, or other files.
        NoSpace, StorageFailed. Damaged: the copy does not verify.
    """
    place = target / FOLDER
    _check_target(home, target)
    with Lease(home.history, "backup") as lease:
        place.mkdir(parents=True, exist_ok=True)
        fresh = place / f"history.db.{secrets.token_hex(4)}.part"
        home.history.copy_to(fresh)
        packs = [pack for pack in sorted((home.place / "packs").rglob("*")) if pack.is_file()]
        todo = [pack for pack in packs if not (place / pack.relative_to(home.place)).exists()]
        check_space(target, sum(pack.stat().st_size for pack in todo))
        progress.start("backing up", sum(pack.stat().st_size for pack in todo))
        copied = 0
        for pack in todo:
            copied += _copy(pack, place / pack.relative_to(home.place), progress) if pack.exists() else 0
            lease.beat()  # a pack that is gone was condemned before the lease: no version in the copy needs it
        for folder in ("keys", "backups"):
            for file in sorted((home.place / folder).glob("*")):
                if file.is_file():
                    _copy(file, place / folder / file.name, progress)
        for folder in ("packs", "tmp", "keys", "backups"):
            (place / folder).mkdir(exist_ok=True)
        fresh.replace(place / "history.db")
        homes.replace_file(place / "config.json", (home.place / "config.json").read_bytes())
    return Copied(target, copied, len(todo), _verified(target, progress) if verify else 0)


def restore(source: Path, target: Path, *, progress: Progress = SILENT) -> Copied:
    """Make a repository in ``target`` from the backup in ``source``; it appears whole or not at all, verified.

    Raises:
        NotFound: ``source`` is no backup. AlreadyExists: there is a repository in ``target``.
        NoSpace, StorageFailed. Damaged: the backup does not verify.
    """
    if not homes.exists(source):
        raise NotFound(f"{source} holds no backup", hint="name the folder that lepton backup was given")
    if homes.exists(target):
        raise AlreadyExists(f"there is a repository in {target}", hint="restore into another folder")
    inside = source / FOLDER
    files = [f for f in sorted(inside.rglob("*")) if f.is_file() and f.relative_to(inside).parts[0] != "tmp"]
    total = sum(file.stat().st_size for file in files)
    check_space(target, total)
    target.mkdir(parents=True, exist_ok=True)
    draft = target / f"{FOLDER}-new-{secrets.token_hex(4)}"
    try:
        progress.start("restoring", total)
        for file in files:
            if file.name not in _DATABASES:
                _copy(file, draft / file.relative_to(inside), progress)
        with closing(SqliteHistory(inside / "history.db", create=False)) as history:
            history.copy_to(
                draft / "history.db"
            )  # never by its file: an unfinished transaction belongs to it
        for folder in ("packs", "tmp", "keys", "backups"):
            (draft / folder).mkdir(exist_ok=True)
        draft.rename(target / FOLDER)
        homes.sync_folder(target)
    except OSError as problem:
        raise StorageFailed(
            f"{target} cannot be written: {problem.strerror}", hint="check the path"
        ) from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    packs = sum(1 for file in files if file.suffix == ".pack")
    return Copied(target, total, packs, _verified(target, progress))


def _check_target(home: Home, target: Path) -> None:
    if homes.exists(target):
        with closing(Home(target)) as other:
            same = other.config.id == home.config.id
        if not same:
            raise AlreadyExists(f"{target} holds another repository", hint="name an empty folder")
    elif target.exists() and any(target.iterdir()) and not (target / FOLDER).is_dir():
        raise AlreadyExists(
            f"{target} is not empty", hint="name an empty folder, or one with an older backup"
        )


def _verified(folder: Path, progress: Progress) -> int:
    copy = Home(folder)
    try:
        verdict = Verifier(copy, Lines(copy.history), progress).run()
    finally:
        copy.close()
    if not verdict.clean:
        first = verdict.damages[0]
        raise Damaged(
            f"the copy in {folder} does not verify: {first.where}: {first.problem}",
            hint="check the disk, then repeat",
        )
    return verdict.versions


def _copy(source: Path, target: Path, progress: Progress) -> int:
    """Copy a file durably; it appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    size = 0
    try:
        with source.open("rb") as reading, temporary.open("wb") as writing:
            while part := reading.read(STEP):
                writing.write(part)
                size += len(part)
                progress.advance(len(part))
            writing.flush()
            os.fsync(writing.fileno())
        shutil.copymode(source, temporary)
        temporary.replace(target)
        homes.sync_folder(target.parent)
    except OSError as problem:
        raise StorageFailed(
            f"{target} cannot be written: {problem.strerror}", hint="check the path"
        ) from problem
    finally:
        temporary.unlink(missing_ok=True)
    return size
