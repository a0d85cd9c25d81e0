"""Step 1: refs and their log, versions, and where files' bytes are."""

from __future__ import annotations

import sqlite3

_STATEMENTS = (
    # Where stamps come from: one number that only grows, so a key that comes back never has an old stamp.
    """
    CREATE TABLE counter (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        stamp INTEGER NOT NULL CHECK (stamp >= 0)
    )
    """,
    "INSERT INTO counter (only, stamp) VALUES (1, 0)",
    """
    CREATE TABLE refs (
        key TEXT NOT NULL PRIMARY KEY CHECK (typeof(key) = 'text'),
        value BLOB NOT NULL CHECK (typeof(value) = 'blob'),
        stamp INTEGER NOT NULL CHECK (stamp > 0)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE log (
        number INTEGER PRIMARY KEY,
        stamp INTEGER NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        act TEXT NOT NULL,
        why TEXT NOT NULL,
        key TEXT NOT NULL,
        before BLOB,
        after BLOB
    )
    """,
    # A key 'a/b' is entered under 'a/' and 'a/b': the newest moves below a folder without reading its keys.
    """
    CREATE TABLE log_under (
        prefix TEXT NOT NULL,
        number INTEGER NOT NULL REFERENCES log (number),
        PRIMARY KEY (prefix, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE versions (
        sequence INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE CHECK (typeof(id) = 'blob' AND length(id) = 32),
        first BLOB NOT NULL CHECK (typeof(first) = 'blob' AND length(first) = 32),
        revision INTEGER NOT NULL CHECK (revision >= 1 AND (revision = 1) = (id = first)),
        name TEXT NOT NULL,
        branch TEXT NOT NULL,
        parents BLOB NOT NULL CHECK (typeof(parents) = 'blob' AND length(parents) % 32 = 0),
        jump BLOB CHECK (jump IS NULL OR (typeof(jump) = 'blob' AND length(jump) = 32)),
        depth INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        record BLOB NOT NULL CHECK (typeof(record) = 'blob')
    )
    """,
    "CREATE INDEX versions_by_first ON versions (first, revision)",
    "CREATE INDEX versions_by_name ON versions (name) WHERE revision = 1",
    "CREATE INDEX versions_in_order ON versions (sequence) WHERE revision = 1",
    """
    CREATE TABLE contents (
        sha256 BLOB NOT NULL PRIMARY KEY CHECK (typeof(sha256) = 'blob' AND length(sha256) = 32),
        size INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        manifest BLOB NOT NULL CHECK (typeof(manifest) = 'blob')
    ) WITHOUT ROWID
    """,
)
_KEPT_FOREVER = ("log", "log_under", "versions")


def apply(db: sqlite3.Connection) -> None:
    """Make the first tables in an empty database."""
    for statement in _STATEMENTS:
        db.execute(statement)
    for table in _KEPT_FOREVER:
        for act in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_refuses_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are kept forever, as they are'); END"
            )
