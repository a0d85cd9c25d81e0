"""Copy a whole repository, while others write."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from lepton_ai.errors import AlreadyExists, Busy, Damaged, Unsupported
from lepton_ai.history import copying
from lepton_ai.history import home as homes
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.checkout import check_space
from lepton_ai.history.collect import Collector
from lepton_ai.history.config import read_config
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.leases import Beating, Lease, user_name
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.history.verify import Verdict, Verifier
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.durable import make_folder, storage_errors, write_file
from lepton_ai.store.packs.format import blob_name

PAGE = 1000
"""Lines of the log that are compared at a time."""
TRIES = 5
"""How often a backup without a lease is begun."""


class Copied(msgspec.Struct, frozen=True):
    """What a backup or a restore copied: ``bytes`` and ``packs`` anew, ``versions`` verified."""

    folder: Path
    bytes: int
    packs: int
    versions: int


class _Round(msgspec.Struct, frozen=True):
    """A history, copied aside; the packs that there were, and those of which the copy has the better one."""

    fresh: Path
    packs: dict[str, int]
    spared: set[str]


def backup(home: AnyHome, target: Path, *, progress: Progress = SILENT, verify: bool = True) -> Copied:
    """Copy the repository into the folder ``target``: whole, or only what is new since the last backup there.

    The history is copied first, then the packs that were there at that moment; a lease keeps gc from deleting any of
    them meanwhile. Where we may not write there is no lease: when packs go, all is begun anew. Keys are copied as
    they are: wrapped. The copy is a repository itself, and is verified; after that, packs are removed from it that
    neither the repository has any more nor the copy needs. A damaged pack never replaces a good one in the copy.

    Raises:
        AlreadyExists: ``target`` holds another repository, versions that this one lacks, or other files.
        UsageError: ``target`` is the repository itself, or inside of it. Unsupported: the repository is in no folder.
        Busy: another backup writes there, or gc runs in a repository that we may not write.
        NoSpace, StorageFailed. Damaged: the repository is damaged, or the copy does not verify; says which.
    """
    if not isinstance(home, Home):
        raise Unsupported(
            f"only a repository in a folder is backed up, and {home.named} is none",
            hint="lepton clone copies it into a folder",
        )
    place = target / FOLDER
    with storage_errors(target):
        copying.check_apart(home.place, target)
        _check_target(home, target)
    started = time.time()
    with _alone(place):
        last, done = _copy_all(home, place, progress)
        versions = 0
        if verify:
            versions = _verified(home, target, progress)
            _prune(target, set(last.packs), started)
    if last.spared:
        name = min(last.spared)
        raise Damaged(
            f"{home.folder} is damaged: {name} is not what was written; the backup in {target} is complete, and keeps "
            f"its own copy of it",
            hint=f"copy {name} from {place} into {home.place}, then run lepton verify",
        )
    return Copied(target, sum(done), len(done), versions)


def _copy_all(home: Home, place: Path, progress: Progress) -> tuple[_Round, list[int]]:
    """Copy history, packs and keys; what there was, and the sizes of the packs that were copied.

    Raises:
        Busy: no lease can be taken, and packs go all the time.
    """
    done: list[int] = []
    if _writable(home.place):
        with Lease(home.history, "backup") as lease:
            # a pack that goes meanwhile was condemned before the lease: the copy does not need it
            last = _copy_packs(home, place, Beating(progress, lease.beat), done)
            _replace_history(home, place, last.fresh, progress)
        return last, done
    for _ in range(TRIES):
        before = copying.packs(home.place)
        last = _copy_packs(home, place, progress, done)
        wanted = {name: size for name, size in (before | last.packs).items() if name not in last.spared}
        if all(copying.size(place / name) == size for name, size in wanted.items()):
            _replace_history(home, place, last.fresh, progress)
            return last, done
    raise Busy(
        f"{home.folder} may not be written, so that its garbage collection cannot be kept waiting, and packs went",
        hint="repeat when lepton gc is done there, or back up as somebody who may write",
    )


def _copy_packs(home: Home, place: Path, progress: Progress, done: list[int]) -> _Round:
    """Copy the history, aside, and then every pack; ``done`` gets the sizes of those."""
    fresh = place / f"history.db.{secrets.token_hex(4)}{copying.PART}"
    home.history.copy_to(fresh)
    packs = copying.packs(home.place)
    differing = [name for name, size in packs.items() if copying.size(place / name) != size]
    spared = {name for name in differing if _better(home.place, place, name, progress)}
    todo = [name for name in differing if name not in spared]
    total = sum(packs[name] for name in todo)
    check_space(place, total)
    progress.start("backing up", total)
    for name in todo:
        size = copying.copy(home.place / name, place / name, progress)
        done += [] if size is None else [size]
    return _Round(fresh, packs, spared)


def _better(ours: Path, theirs: Path, name: str, progress: Progress) -> bool:
    """Whether the copy's pack must not be replaced: ours is damaged, and theirs is good, or at least longer."""
    there = copying.size(theirs / name)
    if there is None or copying.whole(ours, name, progress):
        return False
    return copying.whole(theirs, name, progress) or there > (copying.size(ours / name) or 0)


def _replace_history(home: Home, place: Path, fresh: Path, progress: Progress) -> None:
    """Copy what is small, and put the fresh history in the place of the older one."""
    copying.copy_small(home.place, place, progress)
    _check_older(fresh, place)
    with storage_errors(place):
        copying.copy_mode(home.place / "history.db", fresh)
        fresh.rename(place / "history.db")
    write_file(place / "config.json", (home.place / "config.json").read_bytes())


def _check_target(home: Home, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise AlreadyExists(f"{target} is a file", hint="name a folder")
    if homes.exists(target) and read_config(target / FOLDER).id != home.config.id:
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
        with (place / copying.LOCK).open("ab") as lock:
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
        return copying.try_lock(lock, fcntl.LOCK_EX)
    except BlockingIOError as error:
        raise Busy(
            f"another backup writes to {place.parent}, or it is being restored", hint="repeat when it is done"
        ) from error


def _clear(place: Path) -> None:
    for left in place.rglob(f"*{copying.PART}*"):
        left.unlink(missing_ok=True)


def _verified(home: Home, target: Path, progress: Progress) -> int:
    """Verify the copy; a pack that is damaged only there is copied again.

    Raises:
        Damaged: it does not verify; says whose fault that is.
    """
    verdict = verified(target, progress)
    place = target / FOLDER
    good = [name for name in _packs_of(verdict) if copying.whole(home.place, name, SILENT)]
    for name in good:
        copying.copy(home.place / name, place / name, progress)
    if good:
        verdict = verified(target, progress)
    if verdict.clean:
        return verdict.versions
    first = verdict.damages[0]
    ours = [name for name in _packs_of(verdict) if not copying.whole(home.place, name, SILENT)]
    if ours or not Verifier(home, Lines(home.history)).run(fast=True).clean:
        raise Damaged(
            f"{home.folder} is damaged itself, and so is its backup in {target}: {first.where}: {first.problem}",
            hint="all else was copied; lepton verify says whom it touches, and the manual of it how to repair that",
        )
    raise Damaged(
        f"the copy in {target} does not verify: {first.where}: {first.problem}",
        hint="check the disk, then repeat",
    )


def verified(folder: Path, progress: Progress) -> Verdict:
    """What a verification of the repository in ``folder`` finds."""
    with closing(Home(folder)) as copy:
        return Verifier(copy, Lines(copy.history), progress).run()


def _packs_of(verdict: Verdict) -> list[str]:
    """The packs, by their files, that a verification found damaged."""
    return [
        blob_name(damage.where.removeprefix("pack "))
        for damage in verdict.damages
        if damage.where.startswith("pack ")
    ]


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
