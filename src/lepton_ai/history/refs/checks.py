"""Everything that can be wrong with the embedded history, in plain words."""

from __future__ import annotations

import sqlite3

_AT_MOST = 100
_QUESTIONS = (
    (
        "ref {} has another value than the log says that it was given",
        """
        SELECT refs.key FROM refs
        JOIN log_under ON log_under.prefix = refs.key
        JOIN log ON log.number = log_under.number AND log.key = refs.key AND log.stamp = refs.stamp
        WHERE log.after IS NOT refs.value
        """,
    ),
    (
        "ref {} has a stamp that was not given out yet",
        "SELECT key FROM refs WHERE stamp > coalesce((SELECT stamp FROM counter), 0)",
    ),
    (
        "move {} is missing from the log's index by key",
        """
        SELECT number FROM log WHERE NOT EXISTS
        (SELECT 1 FROM log_under WHERE log_under.prefix = log.key AND log_under.number = log.number)
        """,
    ),
    (
        "move {} has a stamp that was not given out yet",
        "SELECT number FROM log WHERE stamp > coalesce((SELECT stamp FROM counter), 0)",
    ),
    (
        "version {} names a first revision that is missing",
        """
        SELECT lower(hex(id)) FROM versions AS later
        WHERE revision > 1 AND NOT EXISTS (SELECT 1 FROM versions WHERE id = later.first)
        """,
    ),
)


def problems(db: sqlite3.Connection) -> list[str]:
    """Ask SQLite about pages, indexes and constraints, and our tables about each other. Reads everything."""
    found = [
        f"SQLite: {row[0]}" for row in db.execute(f"PRAGMA integrity_check({_AT_MOST})") if row[0] != "ok"
    ]
    if found:
        return found  # answers from broken pages would only confuse
    for table, row, named, _ in db.execute("PRAGMA foreign_key_check"):
        found.append(f"row {row} of {table} names a row of {named} that is missing")
    for sentence, question in _QUESTIONS:
        found.extend(sentence.format(repr(row[0])) for row in db.execute(f"{question} LIMIT {_AT_MOST}"))
    return found
