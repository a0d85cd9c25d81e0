"""The same on Ceph's gateway, which is an S3 store of another house."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
import urllib3

from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.blobs.presigning import PresigningBlobs
from lepton_ai.store.blobs.probing import Abilities, probe
from lepton_ai.store.blobs.signature import Credentials, signed
from lepton_ai.testing.blobs import NAME, put
from tests.services_ceph import bring
from tests.services_s3 import CREDENTIALS
from tests.store.buckets import InABucket

pytestmark = pytest.mark.slow

PART = 5 << 20


@pytest.fixture
def url(ceph_server: str) -> str:
    name = f"bucket-{secrets.token_hex(6)}"
    known = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    bring(signed("PUT", f"{ceph_server}/{name}", {}, 60, known, "us-east-1"))
    return f"s3://{name}/deep/down?endpoint={ceph_server}&region=us-east-1&allow_http=true"


class TestCeph(InABucket):
    @pytest.fixture
    def url(self, url: str) -> str:
        return url


def test_it_can_do_everything(url: str) -> None:
    """It compares with the bare ETag only; that is found out."""
    blobs = open_objects(url)
    assert probe(blobs) == Abilities(True, True, True, True, True)
    assert list(blobs.list()) == []


def test_parts(url: str, tmp_path: Path) -> None:
    blobs = open_objects(url)
    assert isinstance(blobs, PresigningBlobs)
    data = os.urandom(2 * PART + 7)
    upload = blobs.presign_parts("uploads/a", 3, 60)
    with pytest.raises(UsageError, match="not the parts"):
        blobs.finish_parts("uploads/a", upload.upload, ['"00000000000000000000000000000000"'])
    tags = [
        urllib3.request("PUT", address, body=data[number * PART : (number + 1) * PART]).headers["ETag"]
        for number, address in enumerate(upload.addresses)
    ]
    assert list(blobs.list()) == []
    for _ in range(2):
        blobs.finish_parts("uploads/a", upload.upload, tags)
    blobs.adopt("uploads/a", NAME)
    assert [info.name for info in blobs.list()] == [NAME]
    assert blobs.get(NAME, -7, 7) == data[-7:]


def test_an_upload_that_is_gone(url: str) -> None:
    blobs = open_objects(url)
    assert isinstance(blobs, PresigningBlobs)
    upload = blobs.presign_parts("uploads/a", 1, 60)
    blobs.abandon_parts("uploads/a", upload.upload)
    blobs.abandon_parts("uploads/a", upload.upload)
    with pytest.raises(NotFound):
        blobs.finish_parts("uploads/a", upload.upload, ['"00000000000000000000000000000000"'])


def test_strangers_are_not_let_in(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto lets in anybody; this store does not."""
    put(open_objects(url), tmp_path, NAME, b"data")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    blobs = open_objects(url)
    with pytest.raises(StorageFailed, match="does not let us in") as caught:
        blobs.get(NAME, 0, 4)
    assert "not-the-secret" not in str(caught.value)
    with pytest.raises(StorageFailed, match="does not let us in"):
        list(blobs.list())
