"""The rows that saves leave behind, made up: table by table, as tuples in the order of the columns."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from benchmarks.catalog import making
from lepton_ai.catalog import repositories
from lepton_ai.catalog.tables import METADATA
from lepton_ai.history import states
from lepton_ai.history.filters.facts import facts
from lepton_ai.history.refs import rules

WITH_EVENTS = 5
"""One in so many versions is new enough for its events to be kept."""
TAGGED = 50
"""One in so many versions has a tag."""
Rows = dict[str, list[tuple[Any, ...]]]

_TABLES = {name: [column.name for column in table.columns] for name, table in METADATA.tables.items()}
_LABELLED = ("tag", "alias")


def add(waiting: Rows, table: str, **row: Any) -> None:
    """A row by the names of its columns."""
    waiting.setdefault(table, []).append(tuple(row[name] for name in _TABLES[table]))


def repository(waiting: Rows, number: int, count: int) -> None:
    """A repository that ``count`` saves were made to."""
    row = repositories.Row(
        number, making.owner_of(number), making.name_of(number), "", f"{number:032x}", f"{number:032x}", True,
        1 << 20, 1, making.START, making.person(0), making.START, 1,
    )  # fmt: skip
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    add(waiting, "repositories", removed=0, **values)
    add(waiting, "counters", repository=number, stamp=count + 1, logged=2 * count, saved=count, packed=count)


def version(waiting: Rows, line: making.Line, made: making.Made, count: int) -> None:
    """One save, of ``count`` to this repository."""
    this, place, row, record = line.repository, line.count, made.row, made.record
    rows = waiting.setdefault
    rows("versions", []).append(
        (this, place, row.id, row.first, 1, row.name, row.branch, b"".join(row.parents), row.jump, row.depth,
         row.created_at, row.record)
    )  # fmt: skip
    pins = _labels(waiting, line, made, count)
    key, value = f"version/{row.id.hex()}", states.encode(replace(made.state, pins=pins))
    rows("refs", []).append((this, key, value, place))
    content = made.content
    rows("contents", []).append((this, content.sha256, content.size, content.stored, content.manifest))
    rows("packs", []).append((this, place, made.pack, 9_000_000, row.created_at))
    told = record.author, "save"
    plain = states.encode(made.state)
    for number, moved, after in (
        (2 * place - 1, key, plain),
        (2 * place, "branch/main", states.encode(line.branch())),
    ):
        rows("log", []).append(
            (this, number, place, row.created_at, *told, record.message, moved, None, after)
        )
        rows("log_under", []).extend((this, prefix, number) for prefix in rules.folders(moved))
        if place > count - count // WITH_EVENTS:
            happened = (this, number, row.created_at, "version-created", *told, moved, row.id.hex())
            rows("events", []).append(happened)
    _indexed(waiting, this, made, place)


def _labels(waiting: Rows, line: making.Line, made: making.Made, count: int) -> tuple[str, ...]:
    """The keys of the tag and alias on it."""
    this, place, row = line.repository, line.count, made.row
    keys = [f"tag/release-{place // TAGGED}"] if place % TAGGED == 0 else []
    keys += ["alias/production"] if place == count and count > 10 else []
    for key in keys:
        kind, _, name = key.partition("/")
        value = states.encode(states.LabelState(row.id.hex(), row.created_at, making.person(0)))
        add(waiting, "refs", repository=this, key=key, value=value, stamp=place)
        add(waiting, "search_labels", repository=this, kind=kind, name=name, folded=name, place=place)
    return tuple(keys)


def _indexed(waiting: Rows, this: int, made: making.Made, place: int) -> None:
    """What the hook of the version index writes; ``filling.check`` compares it with that hook's own."""
    found = facts(place, "", made.row.created_at, made.state, made.record)
    waiting.setdefault("search_versions", []).append(
        (this, place, made.row.id, found.id, found.name, found.name.casefold(), made.row.branch, found.author,
         found.author.casefold(), found.message, found.message.casefold(), found.status, found.content,
         found.created, found.updated, found.revision, found.size)
    )  # fmt: skip
    numbers, words = waiting.setdefault("search_numbers", []), waiting.setdefault("search_words", [])
    for kind, values in (("m", found.metrics), ("p", found.params)):
        for name, value in values.items():
            if isinstance(value, str):
                words.append((this, kind + name, place, value, value.casefold()))
            else:
                numbers.append((this, kind + name, place, None if math.isnan(value) else float(value)))


def branch(waiting: Rows, line: making.Line) -> None:
    """The branch, once all saves to it were made."""
    this = line.repository
    for key, state in {"branch/main": line.branch(), f"line/{line.uid}": states.LineState("main")}.items():
        add(waiting, "refs", repository=this, key=key, value=states.encode(state), stamp=line.count + 1)
    add(waiting, "search_lines", repository=this, line=line.uid, name="main", folded="main")
