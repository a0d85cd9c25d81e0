"""A version that was updated at both ends, each in its own way: one update with what both changed, upon theirs.

Of params and metrics each key counts by itself, of everything else the whole field. What one end alone changed since
the revision that both come from is taken; what both changed to different values is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import Diverged
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.record import canonical, parse_record, timestamp, version_id
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.types import Operation, Record

Taken = Literal["mine", "theirs"]
"""Whose value stands where both ends changed the same thing."""
KEYED = ("params", "metrics")
WHOLE = ("message", "dataset", "training", "files")
WITH_FILES = ("code", "environment")
"""What tells where files come from goes where they go."""
_NOTHING = object()


class Clash(msgspec.Struct, frozen=True):
    """A field that both ends changed: its name for people, and both values."""

    what: str
    mine: object
    theirs: object

    @property
    def told(self) -> str:
        """In words, on one line."""
        if self.what == "files":
            return "files differ"
        return f"{self.what} is {_shown(self.mine)} here and {_shown(self.theirs)} there"


def join(
    mine: Mapping[bytes, VersionRow], theirs: Mapping[bytes, VersionRow], newest: tuple[bytes, bytes], act: Act,
    where: str, take: Taken | None = None,
) -> VersionRow | None:  # fmt: skip
    """The revision upon theirs with what both ends changed; None: theirs has all of it.

    ``mine`` and ``theirs`` are the revisions of the version by their ids, ``newest`` the ids of mine and theirs. With
    ``take`` one side's value stands where both changed the same.

    Raises:
        Diverged: both changed the same to different values; says what.
    """
    own, other = mine[newest[0]], theirs[newest[1]]
    shared = {row.id for row in line(theirs, newest[1])}
    common = next((row for row in line(mine, newest[0]) if row.id in shared), None)
    if common is None:
        raise Diverged(f"version {own.name!r} has no first revision here", hint="lepton verify says more")
    base, ours, its = (parse_record(row.record, row.id) for row in (common, own, other))
    clashes: list[Clash] = []
    record = _joined(base, ours, its, take or "theirs", clashes)
    if clashes and take is None:
        raise Diverged(_clashing(own.name, where, clashes), hint="lepton pull --updates mine, or theirs")
    if _carried(record) == _carried(its):
        return None
    record = replace(
        record,
        operation=Operation("update", detail="the updates of two places"),
        author=act.actor,
        created_at=timestamp(act.at),
        revises=other.id.hex(),
        schema=1,
    )
    id_ = version_id(record)
    return replace(other, id=id_, revision=other.revision + 1, created_at=act.at, record=canonical(record))


def line(rows: Mapping[bytes, VersionRow], newest: bytes) -> Iterator[VersionRow]:
    """A revision and those that it revises, newest first."""
    current: bytes | None = newest
    while current is not None and current in rows:
        row = rows[current]
        yield row
        before = parse_record(row.record, row.id).revises
        current = bytes.fromhex(before) if before else None


def _joined(base: Record, mine: Record, theirs: Record, take: Taken, clashes: list[Clash]) -> Record:
    values: dict[str, Any] = {}
    for name in KEYED:
        one, two, three = (getattr(record, name) for record in (base, mine, theirs))
        values[name] = dict(_by_key(name.removesuffix("s"), one, two, three, take, clashes))
    for name in WHOLE:
        one, two, three = (getattr(record, name) for record in (base, mine, theirs))
        values[name] = _one(name, one, two, three, take, clashes)
    from_mine = values["files"] == mine.files and mine.files != theirs.files
    values |= {name: getattr(mine if from_mine else theirs, name) for name in WITH_FILES}
    return replace(theirs, **values)


def _by_key(
    what: str, base: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any], take: Taken,
    clashes: list[Clash],
) -> Iterator[tuple[str, Any]]:  # fmt: skip
    for key in dict.fromkeys([*theirs, *mine, *base]):
        one, two, three = (side.get(key, _NOTHING) for side in (base, mine, theirs))
        value = _one(f"{what} {key!r}", one, two, three, take, clashes)
        if value is not _NOTHING:
            yield key, value


def _one(what: str, base: object, mine: object, theirs: object, take: Taken, clashes: list[Clash]) -> Any:
    if mine in (theirs, base):
        return theirs
    if theirs == base:
        return mine
    clashes.append(Clash(what, mine, theirs))
    return mine if take == "mine" else theirs


def _clashing(name: str, where: str, clashes: list[Clash]) -> str:
    more = f" (and {len(clashes) - 1} more)" if len(clashes) > 1 else ""
    return f"version {name!r} was updated here and in {where}: {clashes[0].told}{more}"


def _carried(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in (*KEYED, *WHOLE, *WITH_FILES))


def _shown(value: object) -> str:
    if value is _NOTHING or value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str | int | float | bool) else str(msgspec.to_builtins(value))
    return text if len(text) <= 60 else text[:59] + "…"


Join = Callable[
    [Mapping[bytes, VersionRow], Mapping[bytes, VersionRow], tuple[bytes, bytes]], VersionRow | None
]
"""What brings the updates of both ends together: revisions of mine and theirs by their ids, and both newest ids."""
