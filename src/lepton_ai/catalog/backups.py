"""Copies of a server's database before each migration: a file for SQLite, a folder of dumped tables for others."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import platformdirs
from sqlalchemy.engine import Engine

from lepton_ai.catalog import addresses, connecting, dumps, migrating
from lepton_ai.errors import AlreadyExists
from lepton_ai.history.refs import copies
from lepton_ai.store.durable import make_folder, storage_errors


def keep(engine: Engine, folder: Path | None, now: str, step: str) -> Path:
    """Copy the database, which has form ``now``, before ``step``; the copy's place. The caller keeps other steps out.

    Raises:
        NoSpace, StorageFailed: there is no room for it. Then nothing may be changed.
        Damaged: the copy, and so the database, is not sound.
    """
    file = addresses.sqlite_file(engine.url)
    target_folder = folder or _default(engine, file)
    name = file.name if file else str(engine.url.database)
    with storage_errors(target_folder):
        make_folder(target_folder, 0o700)  # hashes of passwords are in a copy
        target = target_folder / f"{name}.before-{step}"
        if file is None:
            for left in target_folder.glob(f"{target.name}.*{copies.ENDING}"):
                shutil.rmtree(left)
            with connecting.reading(engine) as reader:
                dumps.dump(reader, now, target)
            return target
        for left in target_folder.glob(f"{target.name}.*{copies.ENDING}"):
            left.unlink()  # of a copy that was killed
    # A connection that is writing cannot be copied from, so a second one reads.
    address = file.absolute().as_uri() + "?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as second:
        second.execute("BEGIN")
        second.execute("PRAGMA user_version").fetchone()
        copies.copy(second, file, target)
    return target


def _default(engine: Engine, file: Path | None) -> Path:
    if file:
        return file.parent / "backups"
    host = f"{engine.url.host or 'localhost'}-{engine.url.port or engine.dialect.name}"
    return Path(platformdirs.user_state_path("lepton-ai")) / "backups" / host


def restore(engine: Engine, folder: Path) -> None:
    """Fill an empty database of any kind from a folder that :func:`keep` made; it has the form of that time then.

    (A copy of an SQLite file is a database as it is.)

    Raises:
        AlreadyExists: there is something in the database.
        Damaged: the folder is not as it was written; nothing is left behind in the database but empty tables.
    """
    listed = dumps.read_list(folder)
    with connecting.reading(engine) as connection:
        if migrating.step_of(connection):
            raise AlreadyExists(
                f"there is a catalog in {addresses.shown(engine.url)} already",
                hint="make an empty database for it",
            )
    migrating.bring_up_to_date(engine, lambda _now, _step: None, listed.step)
    with connecting.writing(engine) as connection:
        dumps.fill(connection, folder)
        connection.commit()
