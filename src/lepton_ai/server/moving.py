"""An embedded server's data to a database server and an object store: resumable, compared, the source unchanged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lepton_ai import wire
from lepton_ai.catalog import moving, packs, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.moving import Counted
from lepton_ai.errors import Damaged, NotFound, UsageError
from lepton_ai.progress import SILENT, Progress
from lepton_ai.server.holding import held
from lepton_ai.server.homes import objects_of
from lepton_ai.server.settings import ServerSettings
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.contract import Blobs
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.reader import whole

_STEP = 8 << 20


class Moved(msgspec.Struct, frozen=True):
    """What a move has moved: every table, the packs, and how many of them were there from an earlier try."""

    tables: tuple[Counted, ...]
    packs: int
    bytes: int
    there_before: int


def move(settings: ServerSettings, database: str, objects: str, progress: Progress = SILENT) -> Moved:
    """Copy all that the server with ``settings`` keeps to the addresses ``database`` and ``objects``.

    Packs first, each read back and compared with the hash that is its name; then the database, in which they are
    listed. Stop the server before. Broken off at any point, the same call goes on. Uploads that were not finished are
    not taken along: whoever sends them begins again.

    Raises:
        UsageError: source and target are the same. Busy: the server runs.
        AlreadyExists: there is another catalog in ``database``.
        Damaged: a pack of the source is not what its name says (lepton verify says more), or the source has changed.
    """
    if database == settings.database_url or objects == settings.objects_url:
        raise UsageError(
            "source and target are the same", hint="name another database and another object store"
        )
    source, target = Catalog(settings.database_url), Catalog(database, backups=settings.folder / "backups")
    try:
        with held(settings.folder):  # a pack that came after the others would be listed there, and be nowhere
            source.check()
            told = _move_packs(source, open_objects(settings.objects_url), open_objects(objects), progress)
            return Moved(moving.move(source, target, progress), *told)
    finally:
        source.close()
        target.close()


def _move_packs(source: Catalog, here: Blobs, there: Blobs, progress: Progress) -> tuple[int, int, int]:
    """Copy the packs that are listed; how many, their bytes, and how many were there already."""
    count = size = before = 0
    with tempfile.TemporaryDirectory(prefix="lepton-ai-moving-") as scratch:
        for row in _repositories(source):
            progress.start(f"{row.owner}/{row.name}", sum(pack.size for pack in _packs(source, row)))
            old, new = objects_of(here, row), objects_of(there, row)
            for pack in _packs(source, row):
                before += _move_pack(old, new, blob_name(pack.name), Path(scratch))
                count, size = count + 1, size + pack.size
                progress.advance(pack.size)
    return count, size, before


def _move_pack(old: Blobs, new: Blobs, name: str, scratch: Path) -> bool:
    """Copy one pack, unless it is there; whether it was.

    Raises:
        Damaged: it is not what its name says, here or there.
    """
    if whole(new, name):
        return True
    try:
        size = old.info(name).size
    except NotFound as problem:
        raise Damaged(f"{name} is listed, but not there", hint="lepton verify says what is lost") from problem
    file = scratch / "pack"
    with storage_errors(file), file.open("wb") as copy:
        for start in range(0, size, _STEP):
            copy.write(old.get(name, start, min(_STEP, size - start)))
    new.delete([name])  # half of one, which would be left as it is
    new.put(name, file)
    if not whole(new, name):
        hint = "lepton verify says what is lost"
        if whole(old, name):
            hint = "the object store gives back other bytes than it was given; use another one"
        raise Damaged(f"{name} is not what its name says", hint=hint)
    return False


def _repositories(source: Catalog) -> Iterator[repositories.Row]:
    after: tuple[str, str] | None = None
    while some := repositories.page(source, after=after):
        yield from some
        after = some[-1].owner, some[-1].name


def _packs(source: Catalog, row: repositories.Row) -> Iterator[wire.Pack]:
    after: str | None = None
    while True:
        some = packs.page(source, row.number, after)
        yield from some.packs
        after = some.next
        if after is None:
            return
