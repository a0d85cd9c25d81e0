"""Addresses that anybody may use for a while, and what a store is found to do, on a real S3 server."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3

from lepton_ai.errors import NotFound, Unsupported, UsageError
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.blobs.presigning import PresigningBlobs
from lepton_ai.store.blobs.probing import Abilities, probe, require
from lepton_ai.store.blobs.signature import Credentials, signed
from lepton_ai.store.contract import Blobs, Presigning, presigning
from lepton_ai.testing.blobs import NAME, put
from tests.between_s3 import between
from tests.services_s3 import CREDENTIALS

PART = 5 << 20


def fetch(method: str, address: str, body: bytes = b"", **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, address, body=body, headers=headers, retries=False)


@pytest.fixture
def blobs(s3_url: str) -> PresigningBlobs:
    blobs = open_objects(s3_url, "repositories/one")
    assert isinstance(blobs, PresigningBlobs)
    return blobs


def test_the_signature_of_the_documentation() -> None:
    """The example of AWS's own pages."""
    known = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    at = datetime(2013, 5, 24, tzinfo=UTC)
    address = signed(
        "GET", "https://examplebucket.s3.amazonaws.com/test.txt", {}, 86400, known, "us-east-1", at
    )
    assert address.endswith("Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    assert known.secret not in repr(known) + address


def test_what_is_presigned_is_read_without_credentials(blobs: PresigningBlobs, tmp_path: Path) -> None:
    put(blobs, tmp_path, NAME, bytes(range(256)))
    address = blobs.presign_get(NAME, 60)
    assert fetch("GET", address).data == bytes(range(256))
    answer = fetch("GET", address, Range="bytes=10-19")
    assert (answer.status, answer.data) == (206, bytes(range(10, 20)))
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in address


def test_parts(blobs: PresigningBlobs) -> None:
    """Nothing is seen before they are joined; then it is the whole, and may be given its name."""
    data = os.urandom(2 * PART + 7)
    upload = blobs.presign_parts("uploads/a", 3, 60)
    tags = [
        fetch("PUT", address, data[number * PART : (number + 1) * PART]).headers["ETag"]
        for number, address in enumerate(upload.addresses)
    ]
    assert list(blobs.list()) == []
    for _ in range(2):  # the answer to the first may be lost
        blobs.finish_parts("uploads/a", upload.upload, tags)
    assert blobs.get("uploads/a", 0, len(data)) == data
    blobs.adopt("uploads/a", NAME)
    assert [info.name for info in blobs.list()] == [NAME]
    assert blobs.get(NAME, -7, 7) == data[-7:]


def test_adopting_leaves_what_is_there(blobs: PresigningBlobs, tmp_path: Path) -> None:
    put(blobs, tmp_path, NAME, b"first")
    put(blobs, tmp_path, "uploads/a", b"second")
    blobs.adopt("uploads/a", NAME)
    assert [info.name for info in blobs.list()] == [NAME]
    assert blobs.get(NAME, 0, 5) == b"first"
    with pytest.raises(NotFound):
        blobs.adopt("uploads/a", NAME)


def test_uploads_that_come_to_nothing(blobs: PresigningBlobs) -> None:
    upload = blobs.presign_parts("uploads/a", 1, 60)
    with pytest.raises(UsageError, match="not the parts"):
        blobs.finish_parts("uploads/a", upload.upload, ['"00000000000000000000000000000000"'])
    blobs.abandon_parts("uploads/a", upload.upload)
    blobs.abandon_parts("uploads/a", upload.upload)
    with pytest.raises(NotFound):
        blobs.finish_parts("uploads/a", upload.upload, ['"00000000000000000000000000000000"'])
    assert list(blobs.list()) == []


def test_without_a_key_parts_go_another_way(blobs: PresigningBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Unsupported, match="no presigned parts"):
        blobs.presign_parts("uploads/a", 1, 60)


def test_clients_may_reach_the_store_by_another_name(s3_url: str) -> None:
    blobs = open_objects(f"{s3_url}&public=https://packs.example.org", "one")
    assert isinstance(blobs, Presigning)
    assert blobs.presign_get(NAME, 60).startswith("https://packs.example.org/bucket-")
    upload = blobs.presign_parts(NAME, 1, 60)
    assert upload.addresses[0].startswith("https://packs.example.org/bucket-")
    blobs.abandon_parts(NAME, upload.upload)


def test_what_wraps_is_looked_through(s3_url: str, tmp_path: Path) -> None:
    assert presigning(CountingBlobs(open_objects(s3_url))) is not None
    assert presigning(CountingBlobs(open_objects(f"{s3_url}&presign=false"))) is None
    assert presigning(open_objects(str(tmp_path))) is None


def test_a_real_store_can_do_everything(blobs: Blobs) -> None:
    found = probe(blobs)
    assert found == Abilities(True, True, True, True, True)
    require("here", found, found.__struct_fields__)  # type: ignore[arg-type]
    assert list(blobs.list()) == [], "a probe leaves nothing"


def test_a_folder_and_memory(tmp_path: Path) -> None:
    assert probe(open_objects(str(tmp_path / "objects"))) == Abilities(True, False, True, False, False)
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert probe(open_objects(f"memory://{uuid.uuid4()}")) == Abilities(True, True, True, False, False)


def test_a_store_that_ignores_conditions_is_found_out(s3_url: str, s3_server: str) -> None:
    with between(s3_server, {"if-none-match", "if-match"}) as line:
        blobs = open_objects(s3_url.replace(s3_server, line.address))
        found = probe(blobs)
        assert (found.create_if_absent, found.compare_and_set, found.range) == (False, False, True)
        require("s3://bucket", found, ["range"])
        with pytest.raises(Unsupported, match=r"s3://bucket .* overwrite"):
            require("s3://bucket", found, ["range", "create_if_absent"])
        assert list(blobs.list()) == []


def test_a_store_without_ranges_is_found_out(s3_url: str, s3_server: str) -> None:
    with between(s3_server, {"range"}) as line:
        found = probe(open_objects(s3_url.replace(s3_server, line.address)))
    assert (found.create_if_absent, found.range, found.presign) == (True, False, False)
