"""Put what was made up into a database as fast as it takes it: the rows that so many commits would have left."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, Double, Table, insert

from benchmarks.catalog import making
from lepton_ai.catalog import dumps, people, repositories, tokens
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from lepton_ai.catalog.tables.types import Bytes, Words
from lepton_ai.history import states
from lepton_ai.history.filters.facts import facts
from lepton_ai.history.refs import rules
from lepton_ai.wire import NewToken

BATCH = 2000
"""Versions between two commits."""
WITH_EVENTS = 5
"""One in so many versions is new enough for its events to be kept."""
Rows = dict[str, list[dict[str, Any]]]


def fill(
    catalog: Catalog,
    repositories_: int,
    versions: int,
    people_: int,
    told: Callable[[int], None] = lambda _: None,
) -> str:
    """Fill an empty catalog. The secret of a token is returned, to ask with."""
    secret = _fill_people(catalog, people_)
    waiting: Rows = {}
    done = 0
    for line, count in making.lines(repositories_, versions, people_):
        _repository(waiting, line.repository, count)
        for _ in range(count):
            made = line.make()
            _version(waiting, line, made, count)
            done += 1
            if len(waiting.get("versions", ())) >= BATCH:
                _write(catalog, waiting)
                told(done)
        _refs_of(waiting, line)
    _write(catalog, waiting)
    with catalog.writing() as connection:
        for table in METADATA.sorted_tables:
            dumps.count_on(connection, table)
    if catalog.engine.dialect.name == "postgresql":
        with catalog.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    return secret


def _fill_people(catalog: Catalog, count: int) -> str:
    first = people.add_user(catalog, making.person(0), "correct horse battery", admin=True)
    secret = tokens.make(catalog, first, NewToken("benchmark")).secret
    assert secret
    users = [
        {"name": making.person(number), "admin": False, "created_at": making.START, "created_by": making.person(0),
         "edition": 1, "password": "$argon2id$", "password_at": making.START}
        for number in range(1, count)
    ]  # fmt: skip
    kept = [
        {"id": f"{number:016x}", "owner": number % count + 1, "name": "laptop", "scopes": "read write",
         "hash": bytes(32), "created_at": making.START, "expires_at": 1 << 60}
        for number in range(3 * count)
    ]  # fmt: skip
    with catalog.writing() as connection:
        connection.execute(insert(METADATA.tables["users"]), users)
        connection.execute(insert(METADATA.tables["tokens"]), kept)
    return secret


def _add(waiting: Rows, table: str, **row: Any) -> None:
    waiting.setdefault(table, []).append(row)


def _repository(waiting: Rows, number: int, count: int) -> None:
    row = repositories.Row(
        number, making.owner_of(number), making.name_of(number), "", f"{number:032x}", f"{number:032x}", True,
        1 << 20, 1, making.START, making.person(0), making.START, 1,
    )  # fmt: skip
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    _add(waiting, "repositories", removed=0, **values)
    _add(waiting, "counters", repository=number, stamp=count + 1, logged=2 * count, saved=count, packed=count)


def _version(waiting: Rows, line: making.Line, made: making.Made, count: int) -> None:
    this, place, row = line.repository, line.count, made.row
    _add(
        waiting, "versions", repository=this, sequence=place, id=row.id, first=row.first, revision=1, name=row.name,
        branch=row.branch, parents=b"".join(row.parents), jump=row.jump, depth=row.depth, created_at=row.created_at,
        record=row.record,
    )  # fmt: skip
    key, value = f"version/{row.id.hex()}", states.encode(made.state)
    _add(waiting, "refs", repository=this, key=key, value=value, stamp=place)
    content = made.content
    _add(waiting, "contents", repository=this, sha256=content.sha256, size=content.size, stored=content.stored,
         manifest=content.manifest)  # fmt: skip
    _add(
        waiting,
        "packs",
        repository=this,
        number=place,
        name=made.pack,
        size=9_000_000,
        written_at=row.created_at,
    )
    for offset, moved, after in ((1, key, value), (0, "branch/main", states.encode(line.branch()))):
        number = 2 * place - offset
        _add(waiting, "log", repository=this, number=number, stamp=place, at=row.created_at, actor=made.record.author,
             act="save", why=made.record.message, key=moved, before=None, after=after)  # fmt: skip
        for prefix in rules.folders(moved):
            _add(waiting, "log_under", repository=this, prefix=prefix, number=number)
        if place > count - count // WITH_EVENTS:
            _add(waiting, "events", repository=this, number=number, at=row.created_at, kind="version-created",
                 actor=made.record.author, act="save", ref=moved, version=row.id.hex())  # fmt: skip
    _indexed(waiting, this, made, place)


def _indexed(waiting: Rows, this: int, made: making.Made, place: int) -> None:
    """What the hook of the version index writes; ``measuring.check`` compares it with that hook's own."""
    found = facts(place, "", made.row.created_at, made.state, made.record)
    texts = ("name", "author", "message")
    _add(
        waiting, "search_versions", repository=this, place=place, first=made.row.id, line=made.row.branch,
        **{name: getattr(found, name) for name in (*texts, "status", "id", "content", "created", "updated")},
        **{f"{name}_folded": getattr(found, name).casefold() for name in texts},
        revision=found.revision, size=found.size,
    )  # fmt: skip
    for kind, values in (("m", found.metrics), ("p", found.params)):
        for name, value in values.items():
            row: dict[str, Any] = {"repository": this, "name": kind + name, "place": place, "value": value}
            if isinstance(value, str):
                _add(waiting, "search_words", **row, folded=value.casefold())
            else:
                _add(
                    waiting, "search_numbers", **row | {"value": None if math.isnan(value) else float(value)}
                )


def _refs_of(waiting: Rows, line: making.Line) -> None:
    this = line.repository
    refs = {"branch/main": line.branch(), f"line/{line.uid}": states.LineState("main")}
    assert line.last
    if line.count > 10:
        refs["alias/production"] = states.LabelState(
            line.last.id.hex(), line.last.created_at, making.person(0)
        )
        _add(waiting, "search_labels", repository=this, kind="alias", name="production", folded="production",
             place=line.count)  # fmt: skip
    for key, state in refs.items():
        _add(waiting, "refs", repository=this, key=key, value=states.encode(state), stamp=line.count + 1)
    _add(waiting, "search_lines", repository=this, line=line.uid, name="main", folded="main")


def _write(catalog: Catalog, waiting: Rows) -> None:
    with catalog.writing() as connection:
        for table in METADATA.sorted_tables:
            rows = waiting.pop(table.name, None)
            if not rows:
                continue
            if connection.dialect.name == "postgresql":
                _copy(connection, table, rows)
            else:
                connection.execute(insert(table), rows)
    assert not waiting, f"no such table: {sorted(waiting)}"


def _copy(connection: Any, table: Table, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    kinds = [_kind(table.c[name].type) for name in names]
    listed = ", ".join(f'"{name}"' for name in names)
    with connection.connection.driver_connection.cursor() as cursor:  # noqa: SIM117  (one after the other)
        with cursor.copy(f'COPY "{table.name}" ({listed}) FROM STDIN (FORMAT BINARY)') as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(
                    [value.encode() if isinstance(value, str) else value for value in row.values()]
                )


def _kind(kind: Any) -> str:
    if isinstance(kind, Bytes | Words):
        return "bytea"
    return "bool" if isinstance(kind, Boolean) else "float8" if isinstance(kind, Double) else "int8"
