"""The folder ``.lepton/`` of an embedded repository: what is where, how it is made and opened.

config.json     format, repository id, block size
history.db      refs, log, versions (SQLite)
index.db        where blocks are (SQLite, rebuildable)
keys/           the repository's keys, wrapped
packs/          sealed blocks
tmp/            what is being written
backups/        copies of history.db before migrations
seen            which files were read, and how they looked then (a cache)
current         the branch that commands mean when none is named
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from lepton_ai.errors import (
    InfrastructureError,
    LeptonError,
    Unsupported,
    UsageError,
)
from lepton_ai.history import given, states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.config import Config, read_config
from lepton_ai.history.lines import MAIN
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.history.staging import private
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.durable import flush_folder, make_folder, storage_errors, write_file
from lepton_ai.store.seal.keyring import Keyring

FOLDER = ".lepton"
DRAFT = f"{FOLDER}-new-"
"""How the folder begins in which a repository is made before it is there."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # one slash: a Path keeps no more; two letters: not C:/


class Home(AnyHome):
    """An opened ``.lepton/``: its history at once, its store and keys when first needed."""

    history: SqliteHistory

    def __init__(self, folder: Path, *, timeout: float = 30.0, read_all: bool = False) -> None:
        place = folder / FOLDER
        config = read_config(place)
        history = SqliteHistory(place / "history.db", timeout=timeout, create=False)
        super().__init__(place, config, history, LocalBlobs(place), named=str(folder), read_all=read_all)
        self.folder = folder
        self._opened = _identity(place)

    @property
    def is_current(self) -> bool:
        """Whether it is open, and what was opened is still what lies in the folder."""
        there = _identity(self.place)
        return super().is_current and there is not None and there == self._opened

    def problems(self) -> list[str]:
        """What is wrong with the structure of ``history.db``."""
        return self.history.integrity()


def _identity(place: Path) -> tuple[int, int] | None:
    """What tells this history's file from a later one in the same place: while it is open its number is not reused."""
    with suppress(OSError):
        status = (place / "history.db").stat()
        return status.st_dev, status.st_ino
    return None


def find(start: Path) -> Path | None:
    """The nearest folder at or above ``start`` that holds a repository.

    Raises:
        StorageFailed: one on the way may not be looked into.
    """
    here = start.resolve()
    return next((folder for folder in (here, *here.parents) if exists(folder)), None)


def exists(folder: Path) -> bool:
    """Whether ``folder`` itself is a repository.

    Raises:
        StorageFailed: it may not be looked into. Unsupported: it is an address.
    """
    check_local(folder)
    with storage_errors(folder):
        return (folder / FOLDER / "config.json").is_file()


def located(path: str | Path) -> Path:
    """The folder that ``path`` names, from the root.

    Raises:
        UsageError: it is no path.
        Unsupported: it is an address.
    """
    folder = given.path(path, "the repository")
    check_local(path)
    return folder.expanduser().absolute()


def check_local(place: str | Path) -> None:
    """Refuse addresses such as https://host/owner/name, which would silently become a folder called ``https:``.

    Raises:
        Unsupported.
    """
    if is_address(place):
        address = str(place) if "://" in str(place) else str(place).replace(":/", "://", 1)
        raise Unsupported(f"{address} is an address; this needs a folder", hint="name a folder")


def is_address(place: str | Path) -> bool:
    """Whether ``place`` is meant as an address of a server, not as a folder."""
    return _ADDRESS.match(str(place)) is not None


def create(
    folder: Path,
    at: int,
    actor: str,
    *,
    encrypt: bool = True,
    recovery_file: Path | None = None,
    key_file: Path | None = None,
) -> Path | None:
    """Make a repository in ``folder`` (with its parents); the path of the recovery key, None without encryption.

    It appears whole or not at all; whoever loses a race to create the same one uses the winner's.

    Raises:
        NoSpace, StorageFailed: the folder cannot be written.
    """
    made: list[Path] = []
    recovery: list[Path] = []
    config = Config(secrets.token_hex(16), timestamp(at), encrypt)

    def keys(place: Path) -> None:
        keyring = Keyring.create(place, config.id, encrypt=encrypt)
        if encrypt:
            recovery.append(_wrap(keyring, recovery_file, key_file, made))

    try:
        plant(folder, config, keys, at, actor)
    finally:
        ours = _holds(folder, config.id)  # else nothing needs its keys
        for path in [] if ours else made:
            path.unlink(missing_ok=True)
    return recovery[0] if ours and recovery else None


def plant(
    folder: Path,
    config: Config,
    keys: Callable[[Path], None],
    at: int,
    actor: str,
    moves: tuple[Move, ...] = (),
) -> None:
    """Make an empty repository in ``folder`` with the keys that ``keys`` puts into the folder it is given, and what
    ``moves`` say.

    It appears whole or not at all; whoever loses a race to make one there leaves it as it is.

    Raises:
        NoSpace, StorageFailed: the folder cannot be written.
    """
    with storage_errors(folder):
        make_folder(folder)
        with private(folder, DRAFT) as draft:  # by umask, unlike mkdtemp: a group may share it
            keys(draft / "keys")
            for name in ("packs", "tmp", "backups"):
                (draft / name).mkdir()
            _first_branch(draft / "history.db", at, actor, moves)
            write_file(draft / "config.json", msgspec.json.format(msgspec.json.encode(config)) + b"\n")
            try:
                draft.rename(folder / FOLDER)
            except OSError:
                if exists(folder):
                    return
                raise
            flush_folder(folder)


def _holds(folder: Path, repository_id: str) -> bool:
    """Whether the repository in ``folder`` is this one, and not another's or none."""
    try:
        return read_config(folder / FOLDER).id == repository_id
    except LeptonError:
        return False


def _wrap(keyring: Keyring, recovery_file: Path | None, key_file: Path | None, made: list[Path]) -> Path:
    """Write the key file and the recovery key; the latter's path. ``made`` gets the files that are new."""
    key = keyring.wrap_with_key_file(key_file)
    made += [] if key_file else [key]  # a named one may be another repository's too
    recovery = recovery_file or key.with_name(f"{keyring.repository_id}.recovery")
    keyring.wrap_with_recovery_key(recovery)
    made.append(recovery)
    return recovery


def is_free(folder: Path) -> bool:
    """Whether nothing is in ``folder`` but what killed processes left that were to make a repository there."""
    with storage_errors(folder):
        return not folder.exists() or all(entry.name.startswith(DRAFT) for entry in folder.iterdir())


def _first_branch(database: Path, at: int, actor: str, more: tuple[Move, ...]) -> None:
    uid = secrets.token_hex(8)
    moves = (
        Move(
            f"branch/{MAIN}", ABSENT, states.encode(states.BranchState(uid, created_at=at, created_by=actor))
        ),
        Move(f"line/{uid}", ABSENT, states.encode(states.LineState(MAIN)), logged=False),
        *more,
    )
    database.touch()  # by umask: SQLite would not let the group write
    with closing(SqliteHistory(database)) as history:
        history.commit(Commit(actor, "create repository", at=at, moves=moves))


def check_writable(folder: Path) -> None:
    """Raise unless a repository may be made in ``folder``."""
    if os.name == "nt":
        raise Unsupported("repositories on Windows are not supported yet", hint="use lepton inside WSL")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint="name a folder")
    if folder.name == FOLDER:
        raise InfrastructureError(f"{folder} is the inside of a repository", hint=f"name {folder.parent}")
    if os.path.lexists(folder / FOLDER) and not exists(folder):
        raise InfrastructureError(
            f"{folder / FOLDER} is there, but is no repository: it has no config.json",
            hint="is it a backup that was not finished? repeat it, name another folder, or move this away",
        )
