"""Keep the version index: a hook in the transaction of every commit, and a rebuild for histories from before."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from lepton_ai.catalog import committing
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.history import REFS, VERSIONS
from lepton_ai.catalog.tables.search import FOUND, LABELS, LINES, NUMBERS, WORDS
from lepton_ai.errors import Damaged
from lepton_ai.history import states
from lepton_ai.history.filters.facts import Facts, facts
from lepton_ai.history.listing import status_of
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs import rules
from lepton_ai.history.refs.contract import Commit, Ref
from lepton_ai.progress import SILENT, Progress

_CHUNK = 500
_VERSION, _LINE, _LABELS = "version/", "line/", ("tag/", "alias/")
_COLUMNS = ("name", "author", "message", "status", "id", "content", "created", "updated", "revision", "size")
_CHANGING = ("status", "updated", "revision")


def record(connection: Connection, repository: int, change: Commit) -> None:
    """Bring the index up to what ``change`` did. The repository is locked by the commit.

    Raises:
        Damaged, TooNew: a value or a record is none; so the commit is refused.
    """
    refs = [Ref(move.key, move.value, 1) for move in change.moves if move.value is not None]
    removed = [move.key for move in change.moves if move.value is None]
    _put(connection, repository, refs)
    _remove(connection, repository, removed)


def rebuild(catalog: Catalog, repository: int, called: str = "", progress: Progress = SILENT) -> int:
    """Make the index of a repository (``called`` so) anew; how many versions are in it. Others may commit meanwhile.

    Until it is through, searches find only a part. It may be repeated.

    Raises:
        NotFound: the repository was removed.
    """

    def clear(connection: Connection) -> None:
        committing.lock(connection, repository)
        for table in (NUMBERS, WORDS, LABELS, LINES, FOUND):
            connection.execute(delete(table).where(table.c.repository == repository))

    with catalog.reading() as connection:
        saved = select(func.count()).where(VERSIONS.c.repository == repository, VERSIONS.c.revision == 1)
        progress.start(f"indexing {called}", int(connection.execute(saved).scalar_one()))
    catalog.write(clear)
    counted = 0
    for prefix in (_LINE, _VERSION, *_LABELS):  # labels name versions
        after = prefix
        while True:
            keys = catalog.write(lambda connection, p=prefix, a=after: _rebuilt(connection, repository, p, a))  # type: ignore[misc]
            if prefix == _VERSION:
                counted += len(keys)
                progress.advance(len(keys))
            if len(keys) < _CHUNK:
                break
            after = keys[-1]
    return counted


def _rebuilt(connection: Connection, repository: int, prefix: str, after: str) -> list[str]:
    committing.lock(connection, repository)
    query = select(REFS.c.key, REFS.c.value, REFS.c.stamp).where(REFS.c.repository == repository)
    query = query.where(REFS.c.key > after, REFS.c.key < (rules.above(prefix) or "")).order_by(REFS.c.key)
    refs = [Ref(*row) for row in connection.execute(query.limit(_CHUNK))]
    _put(connection, repository, refs)
    return [ref.key for ref in refs]


def _put(connection: Connection, repository: int, refs: list[Ref]) -> None:
    lines = {ref.key.removeprefix(_LINE): ref for ref in refs if ref.key.startswith(_LINE)}
    if lines:
        _put_lines(connection, repository, lines)
    known = {
        bytes.fromhex(ref.key.removeprefix(_VERSION)): states.decode(states.VersionState, ref)
        for ref in refs
        if ref.key.startswith(_VERSION)
    }
    firsts = list(known)
    for start in range(0, len(firsts), _CHUNK):
        _put_versions(connection, repository, {one: known[one] for one in firsts[start : start + _CHUNK]})
    labels = {ref.key: ref for ref in refs if ref.key.startswith(_LABELS)}
    if labels:
        _put_labels(connection, repository, labels)


def _put_versions(connection: Connection, repository: int, known: dict[bytes, states.VersionState]) -> None:
    columns = (FOUND.c.first, FOUND.c.place, FOUND.c.id, *(FOUND.c[name] for name in _CHANGING))
    query = select(*columns).where(FOUND.c.repository == repository)
    there = {row[0]: row for row in connection.execute(query.where(FOUND.c.first.in_(list(known))))}
    same = {first for first, row in there.items() if row[2] == known[first].newest}
    touched = [first for first in same if tuple(there[first][3:]) != _state(known[first])]
    _touch(connection, repository, {there[first][1]: known[first] for first in touched})
    changed = {first: state for first, state in known.items() if first not in same}
    if not changed:
        return
    found = _facts(connection, repository, changed)
    places = [version.place for version, _ in found.values()]
    for table in (NUMBERS, WORDS, FOUND):
        connection.execute(delete(table).where(table.c.repository == repository, table.c.place.in_(places)))
    rows = [_row(repository, first, *one) for first, one in found.items()]
    connection.execute(insert(FOUND), rows)
    _put_values(connection, repository, [version for version, _ in found.values()])


def _state(state: states.VersionState) -> tuple[str, int, int]:
    """What can change about a version without a new revision, as ``_CHANGING`` names it; labels change none of it."""
    return status_of(state), state.updated_at, state.revisions


def _touch(connection: Connection, repository: int, by_place: dict[int, states.VersionState]) -> None:
    if not by_place:
        return
    this = (FOUND.c.repository == repository, FOUND.c.place == bindparam("this_place"))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _CHANGING}
    rows = [
        {"this_place": place} | dict(zip((f"new_{name}" for name in _CHANGING), _state(state), strict=True))
        for place, state in by_place.items()
    ]
    connection.execute(update(FOUND).where(*this).values(values), rows)


def _facts(
    connection: Connection, repository: int, changed: dict[bytes, states.VersionState]
) -> dict[bytes, tuple[Facts, str]]:
    """What is known of each version, with the lasting identity of its branch."""
    wanted = {*changed, *(bytes.fromhex(state.newest) for state in changed.values())}
    columns = (
        VERSIONS.c.id,
        VERSIONS.c.sequence,
        VERSIONS.c.branch,
        VERSIONS.c.created_at,
        VERSIONS.c.record,
    )
    query = select(*columns).where(VERSIONS.c.repository == repository, VERSIONS.c.id.in_(list(wanted)))
    rows = {row[0]: row for row in connection.execute(query)}
    if len(rows) < len(wanted):
        missing = next(one for one in wanted if one not in rows)
        raise Damaged(f"version {missing.hex()[:12]} is named and not there", hint="push it again")
    found = {}
    for first, state in changed.items():
        _, place, line, created, _ = rows[first]
        newest = bytes.fromhex(state.newest)
        read = parse_record(bytes(rows[newest].record), newest)
        found[first] = (facts(place, "", created, state, read), line)
    return found


def _row(repository: int, first: bytes, version: Facts, line: str) -> dict[str, Any]:
    folded = {f"{name}_folded": getattr(version, name).casefold() for name in ("name", "author", "message")}
    plain = {name: getattr(version, name) for name in _COLUMNS}
    return {"repository": repository, "place": version.place, "first": first, "line": line, **plain, **folded}


def _put_values(connection: Connection, repository: int, versions: list[Facts]) -> None:
    numbers, words = [], []
    for version in versions:
        given: list[tuple[str, float | str]] = [
            (f"m{name}", value) for name, value in version.metrics.items()
        ]
        given += [(f"p{name}", value) for name, value in version.params.items()]
        for name, value in given:
            row: dict[str, Any] = {"repository": repository, "name": name, "place": version.place}
            if isinstance(value, str):
                words.append(row | {"value": value, "folded": value.casefold()})
            else:
                numbers.append(row | {"value": None if math.isnan(value) else value})
    for table, rows in ((NUMBERS, numbers), (WORDS, words)):
        if rows:
            connection.execute(insert(table), rows)


def _put_lines(connection: Connection, repository: int, lines: dict[str, Ref]) -> None:
    names = {line: states.decode(states.LineState, ref).name for line, ref in lines.items()}
    _remove(connection, repository, [f"{_LINE}{line}" for line in lines])
    rows = [
        {"repository": repository, "line": line, "name": name, "folded": name.casefold()}
        for line, name in names.items()
    ]
    connection.execute(insert(LINES), rows)


def _put_labels(connection: Connection, repository: int, labels: dict[str, Ref]) -> None:
    targets = {
        key: bytes.fromhex(states.decode(states.LabelState, ref).version) for key, ref in labels.items()
    }
    first = VERSIONS.alias("first")
    query = (
        select(VERSIONS.c.id, first.c.sequence)
        .join(first, (first.c.repository == VERSIONS.c.repository) & (first.c.id == VERSIONS.c.first))
        .where(VERSIONS.c.repository == repository)
    )
    places: dict[bytes, int] = {}
    for some in _chunks(sorted(set(targets.values()))):
        places |= {row[0]: row[1] for row in connection.execute(query.where(VERSIONS.c.id.in_(some)))}
    _remove(connection, repository, list(labels))
    rows = []
    for key, target in targets.items():
        kind, _, name = key.partition("/")
        if target not in places:
            raise Damaged(f"{kind} {name!r} names a version that is not there", hint="push that first")
        row = {"repository": repository, "kind": kind, "name": name, "folded": name.casefold()}
        rows.append(row | {"place": places[target]})
    connection.execute(insert(LABELS), rows)


def _remove(connection: Connection, repository: int, keys: list[str]) -> None:
    by_room: dict[str, list[str]] = {}
    for key in keys:
        room, _, name = key.partition("/")
        by_room.setdefault(room, []).append(name)
    for some in _chunks(by_room.get("line", [])):
        connection.execute(delete(LINES).where(LINES.c.repository == repository, LINES.c.line.in_(some)))
    for kind in ("tag", "alias"):
        mine = (LABELS.c.repository == repository, LABELS.c.kind == kind)
        for some in _chunks(by_room.get(kind, [])):
            connection.execute(delete(LABELS).where(*mine, LABELS.c.name.in_(some)))
    firsts = [bytes.fromhex(name) for name in by_room.get("version", [])]
    for gone in _chunks(firsts):
        query = select(FOUND.c.place).where(FOUND.c.repository == repository, FOUND.c.first.in_(gone))
        places = [row[0] for row in connection.execute(query)]
        for table in (NUMBERS, WORDS, LABELS, FOUND):
            connection.execute(
                delete(table).where(table.c.repository == repository, table.c.place.in_(places))
            )


def _chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    found = list(values)
    return (found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK))
