"""Bring a repository back from its backup."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lepton_ai.errors import AlreadyExists, Busy, Damaged, KeyMissing, NotFound
from lepton_ai.history import copying
from lepton_ai.history import home as homes
from lepton_ai.history.backup import Copied, verified
from lepton_ai.history.checkout import check_space
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.history.staging import private
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.durable import flush_folder, make_folder, storage_errors


def restore(source: Path, target: Path, *, progress: Progress = SILENT) -> Copied:
    """Make a repository in ``target`` from the backup in ``source``; it appears whole and verified, or not at all.

    Raises:
        NotFound: ``source`` is no backup. AlreadyExists: there is a repository in ``target``.
        KeyMissing: nothing at hand opens it, so that it cannot be verified. Busy: a backup is writing there.
        NoSpace, StorageFailed. Damaged: the backup does not verify.
    """
    if not homes.exists(source):
        raise NotFound(f"{source} holds no backup", hint="name the folder that lepton backup was given")
    if homes.exists(target):
        raise AlreadyExists(f"there is a repository in {target}", hint="restore into another folder")
    inside = source / FOLDER
    copying.check_apart(inside, target)
    _check_key(source)
    check_space(target, sum(copying.packs(inside).values()))
    with storage_errors(target):
        make_folder(target)
        with _no_backup(inside), private(target, homes.DRAFT) as draft:
            packs = _copy(inside, draft / FOLDER, progress)
            versions = _verified(source, draft, target, progress)
            (draft / FOLDER).rename(target / FOLDER)
            flush_folder(target)
    return Copied(target, sum(packs.values()), len(packs), versions)


def _copy(inside: Path, place: Path, progress: Progress) -> dict[str, int]:
    """Copy the history first: what it needs was there before it. The packs, and their sizes."""
    make_folder(place)
    with closing(SqliteHistory(inside / "history.db", create=False)) as history:
        history.copy_to(place / "history.db")  # never by its file: an unfinished transaction belongs to it
    copying.copy_mode(inside / "history.db", place / "history.db")
    packs = copying.packs(inside)
    total = sum(packs.values())
    progress.start("restoring", total)
    with storage_errors(place, total):
        for name in packs:
            copying.copy(inside / name, place / name, progress)
        copying.copy_small(inside, place, progress)
        for name in ("config.json", "current"):
            copying.copy(inside / name, place / name, progress)
    return packs


def _check_key(source: Path) -> None:
    """Open the backup's keys before anything is copied.

    Raises:
        KeyMissing: none at hand fits.
    """
    with closing(Home(source)) as backup:
        try:
            _ = backup.keyring
        except KeyMissing as problem:
            raise KeyMissing(
                f"{source} cannot be opened, and so not be verified: {problem.message}",
                hint=f"lepton --repo {source} keys recover makes a key file from a recovery key or passphrase",
            ) from problem


@contextmanager
def _no_backup(inside: Path) -> Iterator[None]:
    """Keep backups from writing to what is being read, where it can be locked.

    Raises:
        Busy: one does.
    """
    try:
        lock = (inside / copying.LOCK).open("rb")
    except OSError:  # never written to by a backup, or not by us to be read
        yield
        return
    with lock:
        try:
            copying.try_lock(lock.fileno(), fcntl.LOCK_SH)
        except BlockingIOError as error:
            raise Busy(f"a backup writes to {inside.parent}", hint="repeat when it is done") from error
        yield


def _verified(source: Path, draft: Path, target: Path, progress: Progress) -> int:
    verdict = verified(draft, progress)
    if verdict.clean:
        return verdict.versions
    first = verdict.damages[0]
    raise Damaged(
        f"the backup in {source} does not verify: {first.where}: {first.problem}; nothing was restored to {target}",
        hint=f"restore another one; or read what is whole: the backup is a repository (lepton --repo {source} verify)",
    )
