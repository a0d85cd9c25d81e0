"""Which packs a repository has. The list says so, not the object store: stores list slowly, and some of them late."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from lepton_ai import wire
from lepton_ai.catalog import committing
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.packs import PACKS
from lepton_ai.catalog.tables.repositories import COUNTERS
from lepton_ai.errors import LostRace, NotFound, UsageError
from lepton_ai.store.contract import BlobInfo, Blobs
from lepton_ai.store.packs.format import blob_name, pack_name

_FOLDER = "packs/"
_BATCH = 1000
_ERASED_AT_ONCE = 25
"""Packs whose bytes are deleted while nobody else can change the repository: disks take their time for large ones."""
_SHARD = re.compile(r"packs/([0-9a-f]{2})(/|$)")


def add(catalog: Catalog, number: int, name: str, look: Callable[[], wire.Pack]) -> None:
    """List a pack of repository ``number``, whose bytes are durable; one that is listed stays as it is.

    ``look`` finds the pack in the store. It is called when nobody else can :func:`erase` it any more, maybe twice.

    Raises:
        NotFound: the repository was removed. What ``look`` raises; the pack is not listed then.
    """

    def act(connection: Connection) -> None:
        # The lock makes numbers appear in order, so whoever reads page by page misses none.
        counters = committing.lock(connection, number)
        known = select(PACKS.c.number).where(PACKS.c.repository == number, PACKS.c.name == name)
        if connection.execute(known).first():
            return
        pack = look()
        row = {
            "repository": number,
            "number": counters.packed + 1,
            "name": name,
            "size": pack.size,
            "written_at": int(pack.written_at * 1_000_000),
        }
        connection.execute(insert(PACKS), row)
        committing.count(connection, number, packed=counters.packed + 1)

    catalog.write(act)


def page(catalog: Catalog, number: int, after: str | None = None, limit: int = _BATCH) -> wire.Packs:
    """Packs, oldest first; ``after`` is the ``next`` of the page before.

    Raises:
        UsageError: ``after`` is not of any page.
    """
    start = 0
    if after is not None:
        if not after.isascii() or not after.isdigit() or len(after) > 18:
            raise UsageError(f"{after!r} continues no list of packs", hint="begin without it")
        start = int(after)
    query = (
        select(PACKS.c.name, PACKS.c.size, PACKS.c.written_at, PACKS.c.number)
        .where(PACKS.c.repository == number, PACKS.c.number > start)
        .order_by(PACKS.c.number)
        .limit(limit + 1)
    )
    counted = select(COUNTERS.c.packed).where(COUNTERS.c.repository == number)
    with catalog.reading() as connection:
        found = list(connection.execute(query))
        end = connection.execute(counted).scalar() or 0
    packs = tuple(wire.Pack(row[0], row[1], row[2] / 1_000_000) for row in found[:limit])
    more = len(found) > limit
    last = int(found[limit - 1][3]) if more else end
    # Numbers follow each other without a gap, unless something was removed: that takes a number, too.
    gone = start > 0 and last - start != len(packs)
    return wire.Packs(packs, str(last) if more else None, str(last), gone)


def find(catalog: Catalog, number: int, name: str) -> wire.Pack:
    """The pack called ``name`` (64 hexadecimal digits).

    Raises:
        NotFound: the repository has none of this name.
    """
    query = select(PACKS.c.name, PACKS.c.size, PACKS.c.written_at)
    with catalog.reading() as connection:
        row = connection.execute(query.where(PACKS.c.repository == number, PACKS.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no pack {name}")
    return wire.Pack(row[0], row[1], row[2] / 1_000_000)


def sizes(catalog: Catalog, number: int, names: Iterable[str]) -> dict[str, int]:
    """Bytes of those of the packs ``names`` (64 hexadecimal digits) that the repository has."""
    wanted, found = sorted(set(names)), dict[str, int]()
    with catalog.reading() as connection:
        for start in range(0, len(wanted), _BATCH):
            of_them = PACKS.c.name.in_(wanted[start : start + _BATCH])
            query = select(PACKS.c.name, PACKS.c.size).where(PACKS.c.repository == number, of_them)
            found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def remove(catalog: Catalog, number: int, names: Iterable[str]) -> None:
    """Take packs off the list; those that are not on it are no error."""
    wanted = list(names)

    def act(connection: Connection) -> None:
        counters = committing.lock(connection, number)
        gone = 0
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            of_them = delete(PACKS).where(PACKS.c.repository == number, PACKS.c.name.in_(some))
            gone += connection.execute(of_them).rowcount
        if gone:  # so that `page` tells
            committing.count(connection, number, packed=counters.packed + 1)

    catalog.write(act)


def erase(catalog: Catalog, number: int, blobs: Blobs, names: Iterable[str]) -> list[str]:
    """Delete the bytes of packs that are on no list, and say which; what somebody has listed meanwhile stays.

    Under the lock under which packs are listed: whoever brings the same pack at this moment sees that it went.

    Raises:
        NotFound: the repository was removed. StorageFailed.
    """
    wanted, gone = list(names), list[str]()
    for start in range(0, len(wanted), _ERASED_AT_ONCE):
        some = wanted[start : start + _ERASED_AT_ONCE]

        def act(connection: Connection, some: list[str] = some) -> list[str]:
            committing.lock(connection, number)
            query = select(PACKS.c.name).where(PACKS.c.repository == number, PACKS.c.name.in_(some))
            listed = set(connection.execute(query).scalars())
            unlisted = [name for name in some if name not in listed]
            blobs.delete([blob_name(name) for name in unlisted])
            return unlisted

        gone += catalog.write(act)
    return gone


class Listed:
    """The blobs of repository ``number``: ``blobs`` keeps their bytes, the catalog knows which packs there are.

    A pack is listed once its bytes are durable, and taken off the list before they go; what lies in the store and is
    not listed counts as unfinished.
    """

    def __init__(self, blobs: Blobs, catalog: Catalog, number: int) -> None:
        self.blobs = blobs
        self._catalog = catalog
        self._number = number

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over under ``name``, durably; list it when it is a pack.

        Raises:
            LostRace: it was there before, on no list, and went at this moment; it has to be brought again.
        """
        self.blobs.put(name, source)
        pack = pack_name(name)
        if pack:
            add(self._catalog, self._number, pack, lambda: self._found(name, pack))

    def _found(self, name: str, pack: str) -> wire.Pack:
        try:
            size = self.blobs.info(name).size
        except NotFound as problem:
            raise LostRace(f"pack {pack[:16]}… was deleted as it came", hint="bring it again") from problem
        # The time of the server's clock, as leases have it: gc compares both. A store's may differ.
        return wire.Pack(pack, size, time.time())

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        return self.blobs.get(name, offset, length)

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob. Raises: NotFound: there is none, or it is a pack that is not listed."""
        pack = pack_name(name)
        if not pack:
            return self.blobs.info(name)
        found = find(self._catalog, self._number, pack)
        return BlobInfo(name, found.size, found.written_at)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``; packs as they are listed."""
        if not prefix.startswith(_FOLDER):
            yield from (info for info in self.blobs.list(prefix) if not info.name.startswith(_FOLDER))
        if not prefix.startswith(_FOLDER[: len(prefix)]):
            return
        shard = _SHARD.match(prefix)
        if shard:
            yield from (info for info in self._of_shard(shard[1]) if info.name.startswith(prefix))
            return
        after: str | None = None
        while True:
            some = page(self._catalog, self._number, after)
            for pack in some.packs:
                info = BlobInfo(blob_name(pack.name), pack.size, pack.written_at)
                if info.name.startswith(prefix):
                    yield info
            after = some.next
            if after is None:
                return

    def _of_shard(self, digits: str) -> Iterator[BlobInfo]:
        """Packs whose names begin so: found by their names, however many others there are."""
        query = select(PACKS.c.name, PACKS.c.size, PACKS.c.written_at).where(
            PACKS.c.repository == self._number, PACKS.c.name >= digits, PACKS.c.name < digits + "g"
        )
        with self._catalog.reading() as connection:
            found = list(connection.execute(query.order_by(PACKS.c.name)))
        for row in found:
            yield BlobInfo(blob_name(row[0]), row[1], row[2] / 1_000_000)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs; packs are taken off the list first, so nobody finds one whose bytes are gone.

        A pack that somebody brings again in between stays.
        """
        wanted = list(names)
        packs = [pack for name in wanted if (pack := pack_name(name))]
        if packs:
            remove(self._catalog, self._number, packs)
            erase(self._catalog, self._number, self.blobs, packs)
        if len(packs) < len(wanted):
            self.blobs.delete([name for name in wanted if not pack_name(name)])
