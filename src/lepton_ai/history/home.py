"""The folder ``.lepton/`` of an embedded repository: what is where, how it is made and opened.

config.json     format, repository id, block size
history.db      refs, log, versions (SQLite)
index.db        where blocks are (SQLite, rebuildable)
keys/           the repository's keys, wrapped
packs/          sealed blocks
tmp/            what is being written
backups/        copies of history.db before migrations
current         the branch that commands mean when none is named
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

import msgspec

from lepton_ai.errors import (
    Damaged,
    InfrastructureError,
    NotFound,
    StorageFailed,
    TooNew,
    Unsupported,
    UsageError,
)
from lepton_ai.history import states
from lepton_ai.history.lines import MAIN
from lepton_ai.history.record import timestamp
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.seal.keyring import Keyring, open_keys
from lepton_ai.store.store import BLOCK_SIZE, Store

FOLDER = ".lepton"
FORMAT = 1


class Config(msgspec.Struct, frozen=True):
    """What never changes about a repository. ``block_size`` in bytes."""

    id: str
    created_at: str
    encrypted: bool
    block_size: int = BLOCK_SIZE
    format: int = FORMAT


class Home:
    """An opened ``.lepton/``: its history at once, its store and keys when first needed."""

    def __init__(self, folder: Path, *, timeout: float = 30.0) -> None:
        self.folder = folder
        self.place = folder / FOLDER
        self.config = read_config(self.place)
        self.history = SqliteHistory(self.place / "history.db", timeout=timeout, create=False)

    @cached_property
    def keyring(self) -> Keyring:
        """The repository's keys, opened.

        Raises:
            KeyMissing: none of the keys at hand opens them.
        """
        return open_keys(self.place / "keys", self.config.id)

    @cached_property
    def store(self) -> Store:
        """The repository's blocks."""
        return Store(
            LocalBlobs(self.place),
            self.place / "index.db",
            self.keyring,
            self.place / "tmp",
            block_size=self.config.block_size,
        )

    @property
    def current(self) -> str:
        """The branch that is meant when none is named."""
        try:
            return (self.place / "current").read_text(encoding="utf-8").strip() or MAIN
        except FileNotFoundError:
            return MAIN

    @current.setter
    def current(self, branch: str) -> None:
        replace_file(self.place / "current", (branch + "\n").encode())

    def staging(self) -> Path:
        """A new private folder for files that are about to be saved; the caller removes it."""
        sweep(self.place / "tmp")
        (self.place / "tmp").mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"staging-{os.getpid()}-", dir=self.place / "tmp"))

    def close(self) -> None:
        """Let go of files and connections."""
        if "store" in self.__dict__:
            self.store.close()
        self.history.close()


def sweep(temporary: Path) -> None:
    """Remove staging folders whose process is gone."""
    for folder in temporary.glob("staging-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find(start: Path) -> Path | None:
    """The nearest folder at or above ``start`` that holds a repository."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / FOLDER / "config.json").is_file():
            return folder
    return None


def exists(folder: Path) -> bool:
    """Whether ``folder`` itself is a repository."""
    return (folder / FOLDER / "config.json").is_file()


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
        StorageFailed: the folder cannot be written.
    """
    place = folder / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-new-", dir=folder))
    except OSError as problem:
        raise StorageFailed(
            f"{folder} cannot be written: {problem.strerror}", hint="check the path"
        ) from problem
    recovery: Path | None = None
    made: list[Path] = []
    try:
        config = Config(secrets.token_hex(16), timestamp(at), encrypt)
        keyring = Keyring.create(draft / "keys", config.id, encrypt=encrypt)
        if encrypt:
            shared = key_file is not None and key_file.exists()
            key = keyring.wrap_with_key_file(key_file)
            made += [] if shared else [key]
            recovery = recovery_file or key.with_name(f"{config.id}.recovery")
            keyring.wrap_with_recovery_key(recovery)
            made.append(recovery)
        for name in ("packs", "tmp", "backups"):
            (draft / name).mkdir()
        _first_branch(draft / "history.db", at, actor)
        replace_file(draft / "config.json", msgspec.json.format(msgspec.json.encode(config)) + b"\n")
        draft.rename(place)
        sync_folder(folder)
    except BaseException as problem:
        for path in made:
            path.unlink(missing_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(problem, OSError) and exists(folder):
            return None
        if isinstance(problem, OSError):
            raise StorageFailed(
                f"no repository could be made in {folder}: {problem.strerror}",
                hint="check the path and its permissions",
            ) from problem
        raise
    return recovery


def _first_branch(database: Path, at: int, actor: str) -> None:
    history = SqliteHistory(database)
    uid = secrets.token_hex(8)
    moves = (
        Move(
            f"branch/{MAIN}", ABSENT, states.encode(states.BranchState(uid, created_at=at, created_by=actor))
        ),
        Move(f"line/{uid}", ABSENT, states.encode(states.LineState(MAIN)), logged=False),
    )
    history.commit(Commit(actor, "create repository", at=at, moves=moves))
    history.close()


def read_config(place: Path) -> Config:
    """What stands in ``config.json``.

    Raises:
        NotFound, StorageFailed, Damaged, TooNew.
    """
    file = place / "config.json"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no repository in {place.parent}", hint="lepton init makes one") from None
    except OSError as problem:
        raise StorageFailed(f"{file} cannot be read: {problem.strerror}") from problem
    try:
        number = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if not isinstance(number, int) or number < 1:
            raise Damaged(f"{file} names no format", hint="restore it from a backup")
        if number > FORMAT:
            raise TooNew(
                f"{place} has format {number}, this tool knows {FORMAT}", hint="use a newer lepton-ai"
            )
        return msgspec.json.decode(data, type=Config)
    except msgspec.MsgspecError as problem:
        raise Damaged(f"{file} cannot be read: {problem}", hint="restore it from a backup") from problem


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file durably and at once: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """Raise unless a repository may be made in ``folder``."""
    if os.name == "nt":
        raise Unsupported("repositories on Windows are not supported yet", hint="use lepton inside WSL")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint="name a folder")
    if folder.name == FOLDER:
        raise InfrastructureError(f"{folder} is the inside of a repository", hint=f"name {folder.parent}")
