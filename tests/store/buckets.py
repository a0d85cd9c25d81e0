"""What every bucket is tested for, wherever it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_ai.errors import StorageFailed
from lepton_ai.store.blobs import bucket
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.contract import Blobs
from lepton_ai.testing.blobs import NAME, BlobSuite, put


class InABucket(BlobSuite):
    """What both stores promise, beyond the suite."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def blobs(self, url: str) -> Blobs:
        return open_objects(url, "repositories/one")

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path

    def test_parts(self, blobs: Blobs, sources: Path) -> None:
        """What is too large for one request is the same afterwards, and left as it is the second time."""
        data = os.urandom(2 * bucket.IN_ONE_PIECE + 12345)
        source = put(blobs, sources, NAME, data)
        assert not source.exists()
        assert blobs.get(NAME, 0, len(data)) == data
        assert blobs.get(NAME, -12346, 12346) == data[-12346:]
        put(blobs, sources, NAME, bytes(len(data)))
        assert blobs.get(NAME, bucket.IN_ONE_PIECE - 3, 9) == data[bucket.IN_ONE_PIECE - 3 :][:9]

    def test_prefixes_do_not_see_each_other(self, url: str, blobs: Blobs, sources: Path) -> None:
        """Nor does one whose name begins like another's."""
        others = [
            open_objects(url, prefix)
            for prefix in ("repositories/on", "repositories/one1", "repositories/two")
        ]
        put(blobs, sources, NAME, b"data")
        for other in others:
            assert list(other.list()) == []
            put(other, sources, "x/y", b"others")
        assert [info.name for info in blobs.list()] == [NAME]
        everything = open_objects(url)
        assert sum(1 for _ in everything.list()) == 4
        assert everything.get(f"repositories/one/{NAME}", 0, 4) == b"data"

    def test_many_are_listed_and_deleted(self, blobs: Blobs, sources: Path) -> None:
        """More than a page of a listing or a call of deletion holds, and some that were never there."""
        names = [f"many/{number}" for number in range(1203)]
        for name in names:
            put(blobs, sources, name, b"x")
        assert sorted(info.name for info in blobs.list("many/")) == sorted(names)
        blobs.delete(name for number in range(1202) for name in (f"many/{number}", f"never/{number}"))
        assert [info.name for info in blobs.list()] == ["many/1202"]

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../out", "a/../b", ".hidden", "a/.b", "a//b", "a/"])
    def test_only_plain_names(self, blobs: Blobs, sources: Path, name: str) -> None:
        with pytest.raises(StorageFailed):
            put(blobs, sources, name, b"data")
        with pytest.raises(StorageFailed):
            blobs.get(name, 0, 1)
