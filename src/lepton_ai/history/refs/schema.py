"""Bring a database to today's tables, step by step, keeping a copy of what was there before each step."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lepton_ai.errors import TooNew
from lepton_ai.history.refs import copies, failures
from lepton_ai.history.refs.holder import Note
from lepton_ai.history.refs.migrations import MIGRATIONS
from lepton_ai.history.refs.migrations.contract import Migration

APPLICATION = 0x4C414948
"""``PRAGMA application_id`` of our databases ("LAIH"), which ``file`` and others show."""
BACKUPS = "backups"


def bring_up_to_date(
    db: sqlite3.Connection, path: Path, note: Note, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Apply the steps that the database lacks; only look when it lacks none.

    Each step is one transaction: after a crash the database is as before it or as after it, and opening it
    again goes on. Before a step on a database that has something in it, a verified copy is made:
    ``backups/<name>.before-<number of the step>``.

    Raises:
        TooNew: a later version of this tool has changed it.
        Damaged: it is another program's, or a step would break its references.
    """
    version = known_version(db, path, len(migrations))
    while version < len(migrations):
        _step(db, path, note, version + 1, migrations[version])
        # Somebody else may have been faster, and even have a later version.
        version = known_version(db, path, len(migrations))


def refuse_empty(db: sqlite3.Connection, path: Path) -> None:
    """Refuse to take a file without tables for a history: that would be one that has lost everything.

    Raises:
        Damaged: no step was ever applied.
    """
    if version_of(db) == 0:
        raise failures.damaged(path, "it is empty")


def known_version(db: sqlite3.Connection, path: Path, known: int = len(MIGRATIONS)) -> int:
    """How many steps the database has behind it, if this program knows them all.

    Raises:
        TooNew: it does not.
        Damaged: the database is another program's.
    """
    version = version_of(db)
    if version and _pragma(db, "application_id") != APPLICATION:
        raise failures.damaged(path, "it is a database of another program")
    if version > known:
        raise TooNew(
            f"the history {path} has form {version}; this version of lepton-ai knows forms up to {known}",
            hint="use the newer lepton-ai that wrote it: pip install --upgrade lepton-ai",
        )
    return version


def version_of(db: sqlite3.Connection) -> int:
    """How many steps the database has behind it; 0 for an empty file."""
    return _pragma(db, "user_version")


def _step(db: sqlite3.Connection, path: Path, note: Note, number: int, migration: Migration) -> None:
    db.execute("PRAGMA foreign_keys = OFF")  # a step may rebuild tables; checked as a whole before its commit
    db.execute("BEGIN IMMEDIATE")
    with note.kept():
        try:
            if version_of(db) == number - 1:
                _prepare(db, path, number)
                migration(db)
                _check_references(db, path, number)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    db.execute("PRAGMA foreign_keys = ON")


def _prepare(db: sqlite3.Connection, path: Path, number: int) -> None:
    if number > 1:
        _keep_copy(path, number)
        return
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise failures.damaged(path, "it has tables of another program")
    db.execute(f"PRAGMA application_id = {APPLICATION}")


def _keep_copy(path: Path, number: int) -> None:
    """Copy the database while the caller's transaction keeps every writer out; it has written nothing yet."""
    target = path.parent / BACKUPS / f"{path.name}.before-{number}"
    try:
        if not target.parent.is_dir():
            target.parent.mkdir()
            copies.sync(path.parent)
        for left in target.parent.glob(f"{target.name}.*{copies.ENDING}"):
            left.unlink()  # of a copy that was killed
    except OSError as problem:
        raise failures.explain(problem, target) from problem
    # A connection that is writing cannot be copied from, so a second one reads.
    with closing(
        sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True, isolation_level=None)
    ) as reader:
        reader.execute("BEGIN")
        version_of(reader)
        copies.copy(reader, path, target)


def _check_references(db: sqlite3.Connection, path: Path, number: int) -> None:
    broken = db.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        raise failures.damaged(
            path, f"step {number} would leave {len(broken)} rows of {tables} without what they name"
        )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value
