"""Copies of a server's database before each migration: a file for SQLite, a folder of dumped tables for others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import platformdirs
from sqlalchemy.engine import Connection, Engine

from lepton_ai.catalog import addresses, dumps
from lepton_ai.history.refs import copies
from lepton_ai.store.durable import make_folder, storage_errors


def keep(engine: Engine, connection: Connection, folder: Path | None, step: str) -> Path:
    """Copy the database as ``connection`` sees it, which keeps other migrations out; the copy's place.

    Raises:
        NoSpace, StorageFailed: there is no room for it. Then nothing may be changed.
        Damaged: the copy, and so the database, is not sound.
    """
    file = addresses.sqlite_file(engine.url)
    target_folder = folder or _default(engine, file)
    name = file.name if file else str(engine.url.database)
    with storage_errors(target_folder):
        make_folder(target_folder)
        target = target_folder / f"{name}.before-{step}"
        if file is None:
            dumps.dump(connection, target)
            return target
        for left in target_folder.glob(f"{target.name}.*{copies.ENDING}"):
            left.unlink()  # of a copy that was killed
    # A connection that is writing cannot be copied from, so a second one reads.
    with closing(
        sqlite3.connect(file.absolute().as_uri() + "?mode=rw", uri=True, isolation_level=None)
    ) as reader:
        reader.execute("BEGIN")
        reader.execute("PRAGMA user_version").fetchone()
        copies.copy(reader, file, target)
    return target


def _default(engine: Engine, file: Path | None) -> Path:
    if file:
        return file.parent / "backups"
    host = f"{engine.url.host or 'localhost'}-{engine.url.port or engine.dialect.name}"
    return Path(platformdirs.user_state_path("lepton-ai")) / "backups" / host
