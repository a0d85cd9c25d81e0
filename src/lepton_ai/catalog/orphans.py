"""Packs whose bytes came and that no list has, because a server was killed in between: noted, and deleted later.

What was on no list both when it was noted and a while later belongs to nobody. The age of the bytes alone does not say
so: when a database was set back to a copy of before, old packs are on no list, until the right copy takes its place.
A note is a blob beside the packs, so it survives that, and its age is by the same clock as a pack's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select

from lepton_ai.catalog import packs
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.packs import PACKS
from lepton_ai.store.contract import Blobs
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.packs.format import pack_name

_FOLDER = "orphans/"
_BATCH = 1000


def sweep(catalog: Catalog, number: int, blobs: Blobs, before: float) -> int:
    """Note the packs in ``blobs`` that repository ``number`` does not list; delete those noted long ago; how many.

    Only what was written before ``before`` (seconds since 1970, by the clock of ``blobs``) counts, packs and notes.
    Several servers may do it at once.

    Raises:
        NotFound: the repository was removed.
        StorageFailed.
    """
    noted = {info.name.removeprefix(_FOLDER): info.written_at for info in blobs.list(_FOLDER)}
    lost = _unlisted(catalog, number, blobs, before)
    _note(blobs, (name for name in lost if name not in noted))
    gone = packs.erase(catalog, number, blobs, (name for name in lost if noted.get(name, before) < before))
    needless = [*gone, *(noted.keys() - set(lost))]
    if needless:
        blobs.delete([_FOLDER + name for name in needless])
    return len(gone)


def _unlisted(catalog: Catalog, number: int, blobs: Blobs, before: float) -> list[str]:
    old = (pack_name(info.name) for info in blobs.list("packs/") if info.written_at < before)
    names = [name for name in old if name]
    found: list[str] = []
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        query = select(PACKS.c.name).where(PACKS.c.repository == number, PACKS.c.name.in_(some))
        with catalog.reading() as connection:
            listed = set(connection.execute(query).scalars())
        found += [name for name in some if name not in listed]
    return found


def _note(blobs: Blobs, names: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="lepton-ai-orphans-") as scratch:
        note = Path(scratch) / "note"
        for name in names:
            with storage_errors(note):
                note.write_text(name)
            blobs.put(_FOLDER + name, note)
