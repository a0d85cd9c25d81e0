"""Copy a whole repository, while others write, and bring it back."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import AlreadyExists, Busy, Damaged, NotFound, UsageError
from lepton_ai.history import copying
from lepton_ai.history import home as homes
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.checkout import check_space
from lepton_ai.history.collect import Collector
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.leases import Lease, user_name
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.history.verify import Verifier
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.durable import flush_folder, make_folder, storage_errors, write_file

PAGE = 1000
"""Lines of the log that are compared at a time."""
TRIES = 5
"""How often a backup without a lease is begun."""


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
    them meanwhile. Where we may not write there is no lease: when packs go, all is begun anew. Keys are copied as
    they are: wrapped. The copy is a repository itself, and is verified; after that, packs are removed from it that
    neither the repository has any more nor the copy needs.

    Raises:
        AlreadyExists: ``target`` holds another repository, versions that this one lacks, or other files.
        UsageError: ``target`` is the repository itself, or inside of it.
        Busy: another backup writes there, or gc runs in a repository that we may not write.
        NoSpace, StorageFailed. Damaged: the copy does not verify.
    """
    place = target / FOLDER
    with storage_errors(target):
        _check_apart(home.place, target)
        _check_target(home, target)
    started = time.time()
    with _alone(place):
        kept, done = _copy_all(home, place, progress)
        versions = 0
        if verify:
            versions = _verified(target, progress)
            _prune(target, kept, started)
    return Copied(target, sum(done), len(done), versions)


def _copy_all(home: Home, place: Path, progress: Progress) -> tuple[set[str], list[int]]:
    """Copy history, packs and keys; the blobs that there are, and the sizes of those that were copied.

    Raises:
        Busy: no lease can be taken, and packs go all the time.
    """
    done: list[int] = []
    if _writable(home.place):
        with Lease(home.history, "backup") as lease:
            # a pack that goes meanwhile was condemned before the lease: the copy does not need it
            fresh, packs = _copy_packs(home, place, progress, done, lease.beat)
            _replace_history(home, place, fresh, progress)
        return set(packs), done
    for _ in range(TRIES):
        before = copying.packs(home.place)
        fresh, packs = _copy_packs(home, place, progress, done, lambda: None)
        if all(copying.size(place / name) == size for name, size in (before | packs).items()):
            _replace_history(home, place, fresh, progress)
            return set(packs), done
    raise Busy(
        f"{home.folder} may not be written, so that its garbage collection cannot be kept waiting, and packs went",
        hint="repeat when lepton gc is done there, or back up as somebody who may write",
    )


def _copy_packs(
    home: Home, place: Path, progress: Progress, done: list[int], beat: Callable[[], None]
) -> tuple[Path, dict[str, int]]:
    """Copy the history, aside, and then every pack: where it is, and which there are; ``done`` gets the sizes."""
    fresh = place / f"history.db.{secrets.token_hex(4)}{copying.PART}"
    home.history.copy_to(fresh)
    packs = copying.packs(home.place)
    todo = [name for name, size in packs.items() if copying.size(place / name) != size]
    total = sum(packs[name] for name in todo)
    check_space(place, total)
    progress.start("backing up", total)
    for name in todo:
        size = copying.copy(home.place / name, place / name, progress)
        done += [] if size is None else [size]
        beat()
    return fresh, packs


def _replace_history(home: Home, place: Path, fresh: Path, progress: Progress) -> None:
    """Copy what is small, and put the fresh history in the place of the older one."""
    copying.copy_small(home.place, place, progress)
    _check_older(fresh, place)
    with storage_errors(place):
        copying.copy_mode(home.place / "history.db", fresh)
        fresh.rename(place / "history.db")
    write_file(place / "config.json", (home.place / "config.json").read_bytes())


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
    _check_apart(inside, target)
    packs = copying.packs(inside)
    total = sum(packs.values())
    check_space(target, total)
    draft = target / f"{FOLDER}-new-{secrets.token_hex(4)}"
    try:
        with storage_errors(target, total):
            make_folder(draft)
            progress.start("restoring", total)
            for name in packs:
                copying.copy(inside / name, draft / name, progress)
            copying.copy_small(inside, draft, progress)
            for name in ("config.json", "current"):
                copying.copy(inside / name, draft / name, progress)
            with closing(SqliteHistory(inside / "history.db", create=False)) as history:
                # never by its file: an unfinished transaction belongs to it
                history.copy_to(draft / "history.db")
            copying.copy_mode(inside / "history.db", draft / "history.db")
            draft.rename(target / FOLDER)
            flush_folder(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Copied(target, total, len(packs), _verified(target, progress))


def _check_apart(place: Path, target: Path) -> None:
    """Refuse a target that is the repository in ``place``, or inside of ``place``, by whatever path."""
    here = target.resolve()
    for folder in (here / FOLDER, here, *here.parents):
        if folder.exists() and folder.samefile(place):
            raise UsageError(
                f"{target} is the repository itself, or inside of it", hint="name a folder elsewhere"
            )


def _check_target(home: Home, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise AlreadyExists(f"{target} is a file", hint="name a folder")
    if homes.exists(target) and homes.read_config(target / FOLDER).id != home.config.id:
        raise AlreadyExists(f"{target} holds another repository", hint="name an empty folder")
    if target.exists() and any(target.iterdir()) and not (target / FOLDER).is_dir():
        raise AlreadyExists(
            f"{target} is not empty", hint="name an empty folder, or one with an older backup"
        )
    _check_older(home.place / "history.db", target / FOLDER, ours=home.history)


def _check_older(newer: Path, place: Path, ours: SqliteHistory | None = None) -> None:
    """Refuse to replace a history in ``place`` unless everything in its log is in the newer one's too."""
    older = place / "history.db"
    if not older.exists():
        return
    with closing(SqliteHistory(older, create=False)) as theirs:
        if ours is not None:
            same = _begins_with(ours, theirs)
        else:
            with closing(SqliteHistory(newer, create=False)) as copy:
                same = _begins_with(copy, theirs)
    if not same:
        raise AlreadyExists(
            f"{place.parent} has changes that this repository lacks: a backup would lose them",
            hint="name an empty folder",
        )


def _begins_with(longer: SqliteHistory, shorter: SqliteHistory) -> bool:
    before: int | None = None
    while page := shorter.log(before=before, limit=PAGE):
        if longer.log(before=page[0].number + 1, limit=len(page)) != page:
            return False
        before = page[-1].number
    return True


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep other backups out of ``place`` (made with what belongs in it), and clear away what killed ones left."""
    with storage_errors(place):
        for folder in ("packs", "tmp", "keys", "backups"):
            make_folder(place / folder)
        with (place / "tmp" / "backup.lock").open("ab") as lock:
            if _locked(lock.fileno(), place):
                _clear(place)
            try:
                yield
            finally:
                for fresh in place.glob(f"history.db.*{copying.PART}*"):
                    fresh.unlink(missing_ok=True)


def _locked(lock: int, place: Path) -> bool:
    """Lock; False where locks are not to be had."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(f"another backup writes to {place.parent}", hint="repeat when it is done") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        return False
    return True


def _clear(place: Path) -> None:
    for left in place.rglob(f"*{copying.PART}*"):
        left.unlink(missing_ok=True)


def _verified(folder: Path, progress: Progress) -> int:
    with closing(Home(folder)) as copy:
        verdict = Verifier(copy, Lines(copy.history), progress).run()
    if not verdict.clean:
        first = verdict.damages[0]
        raise Damaged(
            f"the copy in {folder} does not verify: {first.where}: {first.problem}",
            hint="check the disk, then repeat",
        )
    return verdict.versions


def _prune(folder: Path, kept: set[str], before: float) -> None:
    """Remove packs older than ``before`` that are not among the blobs ``kept``, unless the copy needs them.

    A pack that the repository has lost by accident is such a need: the backup may hold the last copy of it.
    """
    names = {Path(name).stem for name in kept}
    if all(Path(info.name).stem in names for info in LocalBlobs(folder / FOLDER).list("packs/")):
        return
    with closing(Home(folder)) as copy:
        stale = {i.name for i in copy.store.packs() if i.name not in names and i.written_at < before}
        roots = Collector(Lines(copy.history), copy.store, Act(user_name(), now())).roots()
        uses = copy.store.live(roots, avoid=stale)
        copy.store.drop([use.pack for use in uses if use.pack in stale and not use.live])


def _writable(place: Path) -> bool:
    """Whether the history in ``place`` may be written, and with it a lease."""
    return os.access(place, os.W_OK) and os.access(place / "history.db", os.W_OK)
