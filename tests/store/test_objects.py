"""Blobs in object stores: the suite in memory and on a real S3 server, addresses, and errors that hold no secret."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from obstore import exceptions

from lepton_ai.errors import MissingExtra, NotFound, StorageFailed, UsageError
from lepton_ai.store.blobs import bucket, objects
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.objects import open_objects, open_served
from lepton_ai.store.blobs.retrying import RetryingBlobs
from lepton_ai.store.contract import Blobs, Refused, presigning
from lepton_ai.testing.blobs import NAME, put
from tests.services_s3 import CREDENTIALS, make_bucket
from tests.store.buckets import InABucket


class TestMemory(InABucket):
    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid.uuid4()}/deep"


class TestS3(InABucket):
    @pytest.fixture
    def url(self, s3_url: str) -> str:
        return s3_url

    def test_a_lost_race_is_no_error(
        self, blobs: Blobs, sources: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody brings the blob between the question whether it is there and the putting."""
        put(blobs, sources, NAME, b"first")
        monkeypatch.setattr(bucket.ObjectBlobs, "_find", lambda *given: None)
        assert not put(blobs, sources, NAME, b"second").exists()
        assert blobs.get(NAME, 0, 5) == b"first"


def test_where_there_is_no_bucket(s3_url: str, tmp_path: Path) -> None:
    blobs = open_objects(s3_url.replace("s3://bucket", "s3://nobucket"))
    with pytest.raises(StorageFailed, match="bucket"):
        put(blobs, tmp_path, NAME, b"data")
    assert list(tmp_path.iterdir()), "the source is kept until its bytes are safe"
    with pytest.raises(StorageFailed, match="bucket"):
        list(blobs.list())


def test_a_store_that_cannot_be_reached(s3_url: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects._RETRY, "max_retries", 0)
    blobs = open_objects(s3_url.replace(s3_server, "http://127.0.0.1:9"))
    for asked in (lambda: blobs.get(NAME, 0, 1), lambda: blobs.info(NAME), lambda: list(blobs.list())):
        with pytest.raises(StorageFailed) as caught:
            asked()
        assert not isinstance(caught.value, Refused)
        assert "nobody listens there" in str(caught.value)
        assert "can it be reached" in str(caught.value)


def test_a_server_keeps_packs_near_and_asks_again(s3_url: str, tmp_path: Path) -> None:
    blobs = open_served(s3_url, tmp_path / "cache", 1 << 20)
    put(blobs, tmp_path, f"repositories/one/{NAME}", b"a pack")
    put(blobs, tmp_path, "repositories/one/uploads/a", b"part of one")
    assert blobs.get(f"repositories/one/{NAME}", 2, 4) == b"pack"
    assert blobs.get("repositories/one/uploads/a", 0, 4) == b"part"
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.read_bytes()[-6:] for path in kept] == [b"a pack"]
    assert presigning(blobs) is not None
    assert isinstance(open_served(str(tmp_path / "objects"), tmp_path / "cache", 1 << 20), LocalBlobs)
    assert isinstance(open_served(s3_url, tmp_path / "none", 0), RetryingBlobs)


def test_memory_lives_with_the_process(tmp_path: Path) -> None:
    name = uuid.uuid4()
    put(open_objects(f"memory://{name}", "a"), tmp_path, NAME, b"data")
    assert open_objects(f"memory://{name}", "a").get(NAME, 0, 4) == b"data"
    with pytest.raises(NotFound):
        open_objects(f"memory://{uuid.uuid4()}", "a").get(NAME, 0, 4)


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_folder(address: str, tmp_path: Path) -> None:
    root = tmp_path / "with space"
    blobs = open_objects(address.format(str(root).replace(" ", "%20" if "://" in address else " ")), "one")
    assert isinstance(blobs, LocalBlobs)
    put(blobs, tmp_path, NAME, b"data")
    assert (root / "one" / NAME).read_bytes() == b"data"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "no kind"),
        ("s3:///prefix", "no bucket"),
        ("s3://bucket?endpoint=http://127.0.0.1:1", "plain HTTP"),
        ("s3://bucket?endpoint=http://127.0.0.1:1&allow_http=false", "plain HTTP"),
        ("s3://bucket?allow_http=yes", "true or false"),
        ("s3://bucket?secret_access_key=hush", "no option"),
        ("s3://key:hush@bucket/x", "carries a name or password"),
        ("s3://bucket?endpoint=store", "no address"),
        ("s3://bucket?endpoint=https://store:x", "no address"),
        ("s3://bucket?public=ftp://store", "no address"),
        ("gs://bucket?region=x", "no option"),
        ("az://container", "cannot be opened"),
    ],
)
def test_addresses_that_are_none(url: str, said: str, s3_server: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        open_objects(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_in_the_environment(
    name: str, s3_url: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain HTTP too, as the clouds' own tools take it; the one for S3 counts, and the address before both."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    put(open_objects(s3_url), tmp_path, NAME, b"data")
    monkeypatch.setenv(name, s3_server)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    blobs = open_objects(s3_url.partition("?")[0])
    assert blobs.get(NAME, 0, 4) == b"data"
    keeper = presigning(blobs)
    assert keeper is not None
    assert keeper.presign_get(NAME, 60).startswith(s3_server)
    with pytest.raises(UsageError, match="plain HTTP"):
        open_objects(s3_url.partition("?")[0] + "?allow_http=false")
    with pytest.raises(UsageError, match="plain HTTP"):
        open_objects(s3_url.partition("?")[0] + "?endpoint=http://127.0.0.1:1")
    monkeypatch.setenv(name, "store.example.org")
    with pytest.raises(UsageError, match=f"{name} in the environment is no address"):
        open_objects(s3_url.partition("?")[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Connect, ConnectError( 'dns error', ...)", "not reached: its name is not known"),
        ("kind: Connect, Os { code: 111, kind: ConnectionRefused }", "not reached: nobody listens there"),
        ("HttpError { kind: Timeout }", "not reached: no answer in time"),
        ("HttpError { kind: Connect, InvalidCertificate(UnknownIssuer) }", "its certificate is not valid"),
        (
            "performing PUT http://169.254.169.254/latest: status code: 403 Forbidden",
            "there are no credentials",
        ),
        ("the server said status 500", "the object store failed \\(status 500\\)"),
        ("<Code>SlowDown</Code> https://store/?X-Amz-Signature=hush", "failed \\(SlowDown\\)"),
        ("something new https://store/?X-Amz-Signature=hush", "the object store failed \\("),
    ],
)
def test_why_a_store_does_not_answer_is_told_in_plain_words(text: str, said: str, tmp_path: Path) -> None:
    blobs = open_objects(f"memory://{uuid.uuid4()}")
    assert isinstance(blobs, bucket.ObjectBlobs)
    with pytest.raises(StorageFailed, match=said) as caught, blobs.asking(NAME):
        raise exceptions.GenericError(text)
    assert "GenericError" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_the_clouds_open(s3_server: str) -> None:
    """Nothing is asked of them yet."""
    assert open_objects("s3://bucket/x?region=eu-central-1").place == "s3://bucket/x"  # type: ignore[attr-defined]
    url = "az://container?account=devstoreaccount1"
    assert open_objects(url, "p").place == "az://container/p"  # type: ignore[attr-defined]


def test_no_secret_is_told(s3_server: str, tmp_path: Path) -> None:
    """Whatever fails, and however deep one looks."""
    url = make_bucket(s3_server).replace(s3_server, "http://127.0.0.1:9")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(objects._RETRY, "max_retries", 0)
        blobs = open_objects(url)
        with pytest.raises(StorageFailed) as caught:
            put(blobs, tmp_path, NAME, b"data")
    told = repr(caught.value) + repr(caught.value.__cause__) + repr(blobs)
    assert not [secret for secret in CREDENTIALS.values() if secret in told]


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(MissingExtra, match="obstore"):
        open_objects("s3://bucket")
