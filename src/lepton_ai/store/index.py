"""Where every object is: one SQLite file over the footers of all packs, rebuilt from them whenever it is lost.

Nothing depends on the index being up to date. What a lookup does not find is looked for in packs that are not in it yet
(another process's, or those of a save that died between its pack and its index); what it says is checked against
the object's own header. Rollback journal, not WAL (docs/decisions).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lepton_ai.errors import Busy, NoSpace, StorageFailed
from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.indexfile import BROKEN, TIMEOUT, open_index, pack_file, replace_index, within
from lepton_ai.store.packs.contents import Entry, contents
from lepton_ai.store.packs.format import Header, headers, pack_name

T = TypeVar("T")
_AT_ONCE, _PACKS_AT_ONCE, SHORT, _LOOKS = 500, 64, 8, 5
"""Ids in one query, packs entered in one transaction, bytes of an id by which it is looked up, tries of a listing."""

_PLACES = "SELECT o.id, p.name, o.place, o.length, o.plain, o.base, o.depth, o.damaged, o.codec FROM "
_FIND = (
    _PLACES
    + """objects o JOIN packs p ON p.number = o.pack WHERE substr(o.id, 1, 8) IN ({})
    ORDER BY o.damaged, o.depth, o.length, p.written_at DESC, p.name, o.place"""
)
_PACKS = "SELECT name, size, objects, written_at FROM packs ORDER BY written_at, name"
_OBJECTS = _PLACES + "packs p JOIN objects o ON o.pack = p.number WHERE p.name = ? ORDER BY o.place"


class Place(NamedTuple):
    """One representation of the object ``id``: ``length`` bytes from ``offset`` of ``pack``.

    ``damaged``: a verification could not read it. It is the last choice for reading, and none for relying on.
    """

    id: bytes
    pack: str
    offset: int
    length: int
    plain_length: int
    base: bytes | None
    depth: int
    damaged: int = 0
    codec: int = 0


Mark = tuple[bytes, int]
"""An object of a pack: its id and offset."""
FRAME: Mark = (b"", 0)
"""What of a pack is not an object: head, footer, trailer."""

_MARKS = """
    SELECT p.name, o.id, o.place FROM objects o JOIN packs p ON p.number = o.pack WHERE o.damaged
    UNION ALL SELECT name, X'', 0 FROM packs WHERE damaged
"""


class Index:
    """The index file at ``path`` of the packs in ``blobs``; ``owner`` tells whose it is. Thread-safe."""

    def __init__(self, path: Path, blobs: Blobs, owner: str) -> None:
        self.path = path
        self._blobs = blobs
        self._owner = owner
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def find(self, ids: Iterable[bytes]) -> dict[bytes, list[Place]]:
        """Every representation of the objects, the cheapest to read first; ids without any are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[bytes, list[Place]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = set(wanted[start : start + _AT_ONCE])
            short = list({id_[:SHORT] for id_ in part})
            for row in self.rows(_FIND.format(",".join("?" * len(short))), short):
                place = Place._make(row)
                if place.id in part:
                    found.setdefault(place.id, []).append(place)
        return found

    def add(self, packs: Iterable[tuple[PackInfo, bytes]]) -> None:
        """Enter packs with their footers, in one transaction."""
        self._enter([(info, headers(footer)) for info, footer in packs])

    def packs(self) -> list[PackInfo]:
        """The packs that are in the index, oldest first."""
        return [PackInfo(*row) for row in self.rows(_PACKS)]

    def frames(self) -> dict[str, int]:
        """Bytes of each pack that are not objects."""
        return dict(self.rows("SELECT name, size - stored FROM packs"))

    def counts(self) -> dict[str, tuple[int, int]]:
        """For each pack how many objects it should have here, and how many it has."""
        query = """
            SELECT p.name, p.objects, coalesce(o.count, 0) FROM packs p
            LEFT JOIN (SELECT pack, count(*) AS count FROM objects GROUP BY pack) o ON o.pack = p.number
        """
        return {name: (due, there) for name, due, there in self.rows(query)}

    def objects(self, pack: str) -> list[Place]:
        """The objects of one pack, in its order."""
        return [Place._make(row) for row in self.rows(_OBJECTS, (pack,))]

    def marks(self) -> dict[str, set[Mark]]:
        """What is known to be damaged, by pack."""
        found: dict[str, set[Mark]] = {}
        for name, id_, place in self.rows(_MARKS):
            found.setdefault(name, set()).add((id_, place))
        return found

    def mark(self, pack: str, damaged: Collection[Mark]) -> None:
        """Remember exactly this of a pack as damaged."""
        rows = [(id_, pack, place) for id_, place in damaged]
        of_pack = "pack = (SELECT number FROM packs WHERE name = ?)"

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE packs SET damaged = ? WHERE name = ?", (FRAME in damaged, pack))
            connection.execute(f"UPDATE objects SET damaged = 0 WHERE damaged AND {of_pack}", (pack,))  # noqa: S608  (ours)
            connection.executemany(
                f"UPDATE objects SET damaged = 1 WHERE id = ? AND {of_pack} AND place = ?",  # noqa: S608  (ours)
                rows,
            )

        self.write(work)

    def refresh(self) -> None:
        """Enter packs that are not in the index and forget those that are gone."""
        for _ in range(_LOOKS):
            known = {
                info.name for info in self.packs()
            }  # before the listing: what is added later is not gone
            dropped = self.dropped()
            listed = [(name, info) for info in self._blobs.list("packs/") if (name := pack_name(info.name))]
            there = {name: PackInfo(name, info.size, 0, info.written_at) for name, info in listed}
            self.forget(known - set(there))
            new = [there[name] for name in sorted(set(there) - known - dropped)]
            if not sum(
                self._load(new[at : at + _PACKS_AT_ONCE]) for at in range(0, len(new), _PACKS_AT_ONCE)
            ):
                break  # else what a pack held that went is in one that came since
        if not self.rows("SELECT complete FROM state")[0][0]:
            self.write(lambda c: c.execute("UPDATE state SET complete = 1"))

    def reload(self, pack: str) -> None:
        """Read one pack's footer again: the index may say something wrong about it. Marks stay."""
        damaged = self.marks().get(pack)
        self.forget([pack])
        there = [info for info in self._blobs.list("packs/" + pack[:2]) if pack_name(info.name) == pack]
        if pack not in self.dropped():
            self._load([PackInfo(pack, info.size, 0, info.written_at) for info in there])
        if damaged:
            self.mark(pack, damaged)

    def _load(self, packs: Sequence[PackInfo]) -> int:
        """Enter packs by their footers, a damaged one with what can still be found in it; how many were gone."""
        entries = contents(self._blobs, packs)
        self._enter(entries)
        return len(packs) - len(entries)

    def _enter(self, packs: Sequence[Entry]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for info, objects in packs:
                cursor = connection.execute(
                    "INSERT OR IGNORE INTO packs(name, size, objects, stored, written_at) VALUES (?, ?, 0, 0, ?)",
                    (info.name, info.size, info.written_at),
                )
                if cursor.rowcount == 0:  # another process was faster
                    continue
                number, counted = cursor.lastrowid, [0, 0]
                connection.executemany(
                    "INSERT OR IGNORE INTO objects(pack, place, id, length, plain, base, depth, kind, codec)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (number, place, h.id, h.size, h.plain_length, h.base, h.depth, h.kind, h.codec)
                        for place, h in _counting(objects, counted)
                    ),
                )
                connection.execute(
                    "UPDATE packs SET objects = ?, stored = ? WHERE number = ?", (*counted, number)
                )

        if packs:
            self.write(work)

    def forget(self, packs: Iterable[str], *, dropped: bool = False) -> None:
        """Remove packs from the index; ``dropped`` ones are remembered and not entered again meanwhile."""
        names = [(name,) for name in packs]

        def work(connection: sqlite3.Connection) -> None:
            if dropped:
                connection.executemany("INSERT OR IGNORE INTO dropped(name) VALUES (?)", names)
            query = "SELECT number FROM packs WHERE name = ?"
            numbers = [row for name in names for row in connection.execute(query, name)]
            marks = ",".join(str(int(number)) for (number,) in numbers)
            connection.execute(f"DELETE FROM objects WHERE pack IN ({marks})")  # noqa: S608  (integers)
            connection.execute(f"DELETE FROM packs WHERE number IN ({marks})")  # noqa: S608  (integers)

        if names:
            self.write(work)
            self._run(pack_file)

    def dropped(self) -> set[str]:
        """Packs whose deletion was begun."""
        return {name for (name,) in self.rows("SELECT name FROM dropped")}

    def undrop(self, packs: Iterable[str]) -> None:
        """Their deletion is complete."""
        names = [(name,) for name in packs]
        if names:
            self.write(lambda c: c.executemany("DELETE FROM dropped WHERE name = ?", names))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self._run(lambda connection: connection.execute(query, parameters).fetchall())

    def write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Do ``work`` in one transaction."""
        self._run(lambda c: within(c, lambda: work(c)))

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work``; when the file turns out to be no good index, replace it and do it again."""
        with self._lock:
            for last in (False, False, True):
                try:
                    connection = self._open()
                    if connection is None:
                        connection = self._open_new()
                    return work(connection)
                except sqlite3.Error as error:
                    self._mend(error, give_up=last)
        raise AssertionError("unreachable")

    def _open(self) -> sqlite3.Connection | None:
        """The connection; None when the index has to be filled first. A forked child gets its own."""
        if self._connection is None or self._process != os.getpid():
            self._connection, self._process = open_index(self.path, self._owner), os.getpid()
            if not self._connection.execute("SELECT complete FROM state").fetchone()[0]:
                return None
        return self._connection

    def _open_new(self) -> sqlite3.Connection:
        self.refresh()
        assert self._connection is not None  # noqa: S101  (refreshing opens it)
        return self._connection

    def _mend(self, error: sqlite3.Error, *, give_up: bool) -> None:
        """Prepare for another try.

        Raises:
            Busy, NoSpace, StorageFailed: there is no use in one.
        """
        code = getattr(error, "sqlite_errorcode", 0)
        self.close()
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = f"Another process holds {self.path} for more than {TIMEOUT:.0f} seconds."
            raise Busy(message, hint="repeat when it is done") from error
        if code & 0xFF == sqlite3.SQLITE_FULL:
            raise NoSpace(
                f"No space left in {self.path.parent}.", hint="free some space and repeat"
            ) from error
        moved = code == sqlite3.SQLITE_READONLY_DBMOVED  # another process replaced the file
        broken = code & 0xFF in BROKEN
        if give_up or not (moved or broken):
            raise StorageFailed(f"{self.path}: {error}", hint="check the disk and its permissions") from error
        if broken:
            with storage_errors(self.path):
                replace_index(self.path, self._owner)


def _counting(contents: Iterator[tuple[int, Header]], counted: list[int]) -> Iterator[tuple[int, Header]]:
    """Pass on; add up the number of objects and their bytes in ``counted``."""
    for place, header in contents:
        counted[0] += 1
        counted[1] += header.size
        yield place, header
