"""Packs that come straight into an object store: what becomes one is what was checked, whoever else is at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from lepton_ai.errors import NotFound
from lepton_ai.server.uploads import direct
from lepton_ai.server.uploads.contract import ticket_for
from lepton_ai.server.uploads.direct import Direct
from lepton_ai.server.uploads.objects import ObjectsDesk
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.blobs.under import Under
from lepton_ai.store.contract import PartsUpload

GOOD, BAD = b"as it was announced", b"what somebody wants"
TICKET = ticket_for("ada", blake3(GOOD).hexdigest(), len(GOOD))


class Store(MemoryBlobs):
    """A store that takes parts, as S3 does: who joins them writes over what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.brought: dict[str, bytes] = {}
        self._names: dict[str, str] = {}

    def presign_get(self, name: str, seconds: int) -> str:
        raise NotImplementedError

    def presign_parts(self, name: str, parts: int, seconds: int) -> PartsUpload:
        upload = f"upload-{len(self._names)}"
        self._names[upload] = name
        return PartsUpload(upload, tuple(f"https://store/{upload}/{part}" for part in range(parts)))

    def finish_parts(self, name: str, upload: str, etags: Sequence[str]) -> None:
        if upload not in self.brought:
            raise NotFound("there is no such upload")
        assert self._names[upload] == name
        self._blobs[name] = (self.brought.pop(upload), 1.0)

    def abandon_parts(self, name: str, upload: str) -> None:
        self.brought.pop(upload, None)

    def adopt(self, source: str, name: str) -> None:
        self._blobs.setdefault(name, self._find(source))
        self.delete([source])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(direct, "SMALLEST", 1)
    return Store()


def test_what_was_checked_is_what_appears(store: Store, tmp_path: Path) -> None:
    """Another upload of the same pack, begun and ended between the look and the move, changes nothing."""
    blobs = Under(store, "repositories/x")
    here, desk = Direct(blobs, store, "repositories/x", tmp_path), ObjectsDesk(blobs, tmp_path)
    assert here.offer(TICKET)
    assert here.offer(TICKET) == (), "a pack is offered once"
    store.brought["upload-0"] = GOOD
    straight = here.fetched(TICKET, ["tag"], tmp_path)
    assert straight is not None
    file, source = straight
    assert file.read_bytes() == GOOD

    desk.drop(TICKET)  # as after a file that was announced under this name and hashes otherwise
    assert here.offer(TICKET)
    store.brought["upload-1"] = BAD
    (tmp_path / "other").mkdir()
    other = here.fetched(TICKET, ["tag"], tmp_path / "other")
    assert other is not None
    assert other[0].read_bytes() == BAD

    here.settle(source, "packs/ab/pack")
    blobs.put("packs/ab/pack", file)
    assert blobs.get("packs/ab/pack", 0, len(GOOD)) == GOOD


def test_what_nobody_brought_is_none(store: Store, tmp_path: Path) -> None:
    here = Direct(Under(store, "repositories/x"), store, "repositories/x", tmp_path)
    assert here.fetched(TICKET, ["tag"], tmp_path) is None
    here.drop(TICKET)
    assert here.offer(TICKET)
    assert here.fetched(TICKET, (), tmp_path) is None
