"""The same in Azure's blob store."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3

from lepton_ai.errors import StorageFailed, Unsupported
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.blobs.presigning import PresigningBlobs
from lepton_ai.store.blobs.probing import Abilities, probe
from lepton_ai.testing.blobs import NAME, put
from tests.store.buckets import InABucket

pytestmark = pytest.mark.slow


class TestAzure(InABucket):
    @pytest.fixture
    def url(self, azure_url: str) -> str:
        return azure_url


def test_what_it_can_do(azure_url: str) -> None:
    blobs = open_objects(azure_url)
    assert probe(blobs) == Abilities(True, True, True, True, False)
    assert list(blobs.list()) == []


def test_what_is_presigned(azure_url: str, tmp_path: Path) -> None:
    blobs = open_objects(azure_url)
    assert isinstance(blobs, PresigningBlobs)
    put(blobs, tmp_path, NAME, bytes(range(256)))
    answer = urllib3.request("GET", blobs.presign_get(NAME, 60), headers={"Range": "bytes=10-19"})
    assert (answer.status, answer.data) == (206, bytes(range(10, 20)))
    with pytest.raises(Unsupported, match="no presigned parts"):
        blobs.presign_parts("uploads/a", 1, 60)
    blobs.adopt(NAME, "packs/other")
    assert [info.name for info in blobs.list()] == ["packs/other"]


def test_strangers_are_not_let_in(azure_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(open_objects(azure_url), tmp_path, NAME, b"data")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm90IHRoZSBrZXk=")
    with pytest.raises(StorageFailed, match="does not let us in") as caught:
        open_objects(azure_url).get(NAME, 0, 4)
    assert "bm90IHRoZSBrZXk" not in str(caught.value)
