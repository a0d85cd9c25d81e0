"""One commit to a repository's history, inside a transaction that somebody else began and will end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection

from lepton_ai.catalog.tables.history import COMMITS, CONTENTS, LOG, LOG_UNDER, REFS, VERSIONS
from lepton_ai.catalog.tables.repositories import COUNTERS
from lepton_ai.catalog.tables.types import KEY_BYTES, NAME_BYTES
from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, VersionRow

_CHUNK = 500
_KEPT = 4096
"""Of how many commits the tokens are kept: long enough for whoever lost a connection to come back."""
_SWEEP = 256
_CAREFUL = 200_000
_ESCAPED = b"\0'\"\\\n\r\x1a"
"""Bytes that cost two on their way to MySQL."""


class Counters(msgspec.Struct, frozen=True):
    """What a repository has counted: stamps, entries of the log, versions, packs."""

    stamp: int
    logged: int
    saved: int
    packed: int


def check_lengths(change: Commit) -> None:
    """Refuse texts that no index of the databases can hold.

    Raises:
        UsageError: a key is longer than 2,000 bytes of UTF-8, a name than 512.
    """
    for key in (*change.checks, *(move.key for move in change.moves)):
        if len(key.encode()) > KEY_BYTES:
            raise UsageError(f"the key {key[:40]!r}… has more than {KEY_BYTES} bytes")
    for version in change.versions:
        if max(len(version.name.encode()), len(version.branch.encode())) > NAME_BYTES:
            raise UsageError(f"the name {version.name[:40]!r}… has more than {NAME_BYTES} bytes")


def check_packets(connection: Connection, change: Commit) -> None:
    """Refuse values that MySQL would not take: it says nothing, and closes the connection.

    Raises:
        StorageFailed.
    """
    values = [move.value or b"" for move in change.moves] + [row.record for row in change.versions]
    large = max((value for value in values if len(value) > _CAREFUL), key=len, default=b"")
    if not large or connection.dialect.name not in {"mysql", "mariadb"}:
        return
    most = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar() or 0)
    if len(large) + sum(large.count(escaped) for escaped in _ESCAPED) + _CAREFUL > most:
        raise StorageFailed(
            f"a value of {len(large)} bytes is too large for this database, which takes {most} bytes at once",
            hint="raise its max_allowed_packet",
        )


def lock(connection: Connection, repository: int) -> Counters:
    """Keep every other writer of this repository waiting until the transaction ends.

    Raises:
        NotFound: there is no such repository, or no longer.
    """
    query = select(COUNTERS.c.stamp, COUNTERS.c.logged, COUNTERS.c.saved, COUNTERS.c.packed)
    row = connection.execute(
        query.where(COUNTERS.c.repository == repository).with_for_update(key_share=True)
    ).first()
    if row is None:
        raise NotFound("this repository was removed from the server", hint="ask who removed it")
    return Counters(*row)


def count(connection: Connection, repository: int, **numbers: int) -> None:
    """Write counters of a repository that is locked."""
    connection.execute(update(COUNTERS).where(COUNTERS.c.repository == repository).values(**numbers))


def apply(connection: Connection, repository: int, change: Commit, token: bytes) -> None:
    """Apply ``change``, provided that every stamp is the expected one.

    Raises:
        LostRace: one is not; says which key. Nothing was written.
        NotFound: the repository was removed.
    """
    check_packets(connection, change)
    counters = lock(connection, repository)
    stamp = counters.stamp + 1
    there = _refs(connection, repository, [*change.checks, *(move.key for move in change.moves)])
    for key, expected in (*change.checks.items(), *((move.key, move.expected) for move in change.moves)):
        if there.get(key, (b"", ABSENT))[1] != expected:
            raise rules.lost(key)
    saved = _save_versions(connection, repository, change, counters.saved)
    _save_contents(connection, repository, change)
    _move(connection, repository, change.moves, there, stamp)
    logged = _log(connection, repository, change, there, counters.logged, stamp)
    connection.execute(insert(COMMITS), {"repository": repository, "stamp": stamp, "token": token})
    if stamp % _SWEEP == 0:
        old = delete(COMMITS).where(COMMITS.c.repository == repository, COMMITS.c.stamp < stamp - _KEPT)
        connection.execute(old)
    count(connection, repository, stamp=stamp, logged=logged, saved=saved)


def _refs(connection: Connection, repository: int, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    query = select(REFS.c.key, REFS.c.value, REFS.c.stamp).where(REFS.c.repository == repository)
    return {row[0]: (row[1], row[2]) for row in _among(connection, query, REFS.c.key, keys)}


def _save_versions(connection: Connection, repository: int, change: Commit, saved: int) -> int:
    """Write versions that are not there yet; how many there are now."""
    new: dict[bytes, VersionRow] = {}
    for row in change.versions:
        new.setdefault(row.id, row)
    query = select(VERSIONS.c.id).where(VERSIONS.c.repository == repository)
    for (known,) in _among(connection, query, VERSIONS.c.id, list(new)):
        del new[known]
    rows = [
        {
            **msgspec.structs.asdict(version),
            "repository": repository,
            "sequence": saved + number,
            "parents": b"".join(version.parents),
        }
        for number, version in enumerate(new.values(), 1)
    ]
    _execute(connection, insert(VERSIONS), rows)
    return saved + len(rows)


def _save_contents(connection: Connection, repository: int, change: Commit) -> None:
    new = {row.sha256: row for row in change.contents}
    query = select(CONTENTS.c.sha256).where(CONTENTS.c.repository == repository)
    there = {row[0] for row in _among(connection, query, CONTENTS.c.sha256, list(new))}
    rows = [{**msgspec.structs.asdict(row), "repository": repository} for row in new.values()]
    _execute(connection, insert(CONTENTS), [row for row in rows if row["sha256"] not in there])
    this = (CONTENTS.c.repository == repository, CONTENTS.c.sha256 == bindparam("digest"))
    replace = (
        update(CONTENTS)
        .where(*this)
        .values({name: bindparam(f"new_{name}") for name in ("size", "stored", "manifest")})
    )
    _execute(
        connection,
        replace,
        [
            {
                "digest": row.sha256,
                "new_size": row.size,
                "new_stored": row.stored,
                "new_manifest": row.manifest,
            }
            for row in new.values()
            if row.sha256 in there
        ],
    )
    resize = (
        update(CONTENTS)
        .where(*this, CONTENTS.c.manifest == bindparam("known"))
        .values(stored=bindparam("new"))
    )
    _execute(
        connection,
        resize,
        [{"digest": row.sha256, "known": row.manifest, "new": row.stored} for row in change.sizes],
    )


def _move(
    connection: Connection,
    repository: int,
    moves: Iterable[Move],
    there: dict[str, tuple[bytes, int]],
    stamp: int,
) -> None:
    this = (REFS.c.repository == repository, REFS.c.key == bindparam("this"))
    gone = [{"this": move.key} for move in moves if move.value is None and move.key in there]
    kept = [move for move in moves if move.value is not None]
    _execute(connection, delete(REFS).where(*this), gone)
    _execute(
        connection,
        update(REFS).where(*this).values(value=bindparam("to"), stamp=stamp),
        [{"this": move.key, "to": move.value} for move in kept if move.key in there],
    )
    _execute(
        connection,
        insert(REFS),
        [
            {"repository": repository, "key": move.key, "value": move.value, "stamp": stamp}
            for move in kept
            if move.key not in there
        ],
    )


def _log(
    connection: Connection,
    repository: int,
    change: Commit,
    there: dict[str, tuple[bytes, int]],
    logged: int,
    stamp: int,
) -> int:
    """Log the moves that are to be; how many entries there are now."""
    said = {"at": rules.moment(change), "actor": change.actor, "act": change.act, "why": change.why}
    told = [move for move in change.moves if move.logged]
    entries = [
        {
            **said,
            "repository": repository,
            "number": number,
            "stamp": stamp,
            "key": move.key,
            "before": there[move.key][0] if move.key in there else None,
            "after": move.value,
        }
        for number, move in enumerate(told, logged + 1)
    ]
    _execute(connection, insert(LOG), entries)
    places = [
        {"repository": repository, "prefix": place, "number": number}
        for number, move in enumerate(told, logged + 1)
        for place in rules.folders(move.key)
    ]
    _execute(connection, insert(LOG_UNDER), places)
    return logged + len(told)


def _among(connection: Connection, query: Any, column: Any, values: Sequence[Any]) -> list[Any]:
    wanted = sorted(set(values))
    return [
        row
        for start in range(0, len(wanted), _CHUNK)
        for row in connection.execute(query.where(column.in_(wanted[start : start + _CHUNK])))
    ]


def _execute(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    """Once for each row; for none nothing at all."""
    if rows:
        connection.execute(statement, rows)
