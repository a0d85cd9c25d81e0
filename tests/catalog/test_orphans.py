"""Packs on no list: found, noted, deleted a while later, and never one that somebody lists."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lepton_ai.catalog import orphans, packs, purging, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.packs import Listed
from lepton_ai.errors import LostRace, NotFound
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.contract import BlobInfo, Blobs
from lepton_ai.store.packs.format import blob_name

LATER = 3600.0
LOST, KEPT = "ab" * 32, "cd" * 32


def bring(blobs: Blobs | Listed, folder: Path, pack: str) -> None:
    source = folder / pack
    source.write_bytes(pack.encode())
    blobs.put(blob_name(pack), source)


def names(blobs: Blobs) -> list[str]:
    return sorted(info.name for info in blobs.list())


def test_what_is_on_no_list_twice_goes(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path
) -> None:
    blobs, number = MemoryBlobs(), repository.number
    bring(Listed(blobs, catalog, number), tmp_path, KEPT)
    bring(blobs, tmp_path, LOST)
    assert orphans.sweep(catalog, number, blobs, time.time() - LATER) == 0  # it may be on its way
    assert names(blobs) == [blob_name(LOST), blob_name(KEPT)]
    assert orphans.sweep(catalog, number, blobs, time.time() + LATER) == 0
    assert names(blobs) == [f"orphans/{LOST}", blob_name(LOST), blob_name(KEPT)]
    assert orphans.sweep(catalog, number, blobs, time.time() + LATER) == 1
    assert names(blobs) == [blob_name(KEPT)]
    assert orphans.sweep(catalog, number, blobs, time.time() + LATER) == 0


def test_what_was_noted_lately_or_is_listed_by_now_stays(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path
) -> None:
    """As after a day with a copy of the database from before: its packs are old, and on no list for a day."""
    blobs, number = Aged(), repository.number
    bring(blobs, tmp_path, LOST)
    blobs.age(10 * LATER)
    for _ in range(2):
        assert orphans.sweep(catalog, number, blobs, time.time() - LATER) == 0
        assert names(blobs) == [f"orphans/{LOST}", blob_name(LOST)]
    blobs.age(10 * LATER)
    bring(Listed(blobs, catalog, number), tmp_path, LOST)
    assert orphans.sweep(catalog, number, blobs, time.time() - LATER) == 0
    assert names(blobs) == [blob_name(LOST)]


class Aged(MemoryBlobs):
    """Whose blobs grow older at once."""

    def age(self, seconds: float) -> None:
        self._blobs = {name: (data, at - seconds) for name, (data, at) in self._blobs.items()}


def test_only_what_is_on_no_list_is_erased(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path
) -> None:
    blobs, lost = MemoryBlobs(), [f"{number:064x}" for number in range(60)]
    bring(Listed(blobs, catalog, repository.number), tmp_path, KEPT)
    for pack in lost:
        bring(blobs, tmp_path, pack)
    assert packs.erase(catalog, repository.number, blobs, [*lost[:30], KEPT, *lost[30:]]) == lost
    assert names(blobs) == [blob_name(KEPT)]
    repositories.remove(catalog, repository.number)
    with pytest.raises(NotFound, match="removed"):
        packs.erase(catalog, repository.number, blobs, [KEPT])
    assert names(blobs) == [blob_name(KEPT)]  # it may be restored
    purging.restore(catalog, repository.number, 0)
    assert packs.find(catalog, repository.number, KEPT).size == len(KEPT)


def test_a_pack_that_goes_as_it_comes_is_not_listed(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path
) -> None:
    class Fleeting(MemoryBlobs):
        """Somebody deletes what was there before it is listed."""

        def info(self, name: str) -> BlobInfo:
            self.delete([name])
            return super().info(name)

    with pytest.raises(LostRace, match="deleted"):
        bring(Listed(Fleeting(), catalog, repository.number), tmp_path, LOST)
    assert packs.page(catalog, repository.number).packs == ()


def test_what_is_listed_is_there_whoever_erases_meanwhile(
    catalog: Catalog, repository: repositories.Row, tmp_path: Path
) -> None:
    blobs, number, done = MemoryBlobs(), repository.number, threading.Event()
    listed, brought, erased = Listed(blobs, catalog, number), 0, 0

    def erase() -> None:
        nonlocal erased
        while not done.is_set():
            erased += blobs_had(blobs, LOST) and bool(packs.erase(catalog, number, blobs, [LOST]))

    eraser = threading.Thread(target=erase)
    eraser.start()
    try:
        while brought < 40:
            try:
                bring(listed, tmp_path, LOST)
            except LostRace:
                continue
            brought += 1
            assert blobs.info(blob_name(LOST)).size == len(LOST)
            packs.remove(catalog, number, [LOST])  # an orphan again, until it is erased or brought once more
    finally:
        done.set()
        eraser.join()
    assert erased


def blobs_had(blobs: Blobs, pack: str) -> bool:
    return blob_name(pack) in names(blobs)
