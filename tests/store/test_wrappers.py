"""What wraps blobs: trying again, and keeping what was read lately."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged, NotFound, StorageFailed
from lepton_ai.store.blobs.caching import PAGE, CachingBlobs
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.blobs.retrying import TRIES, RetryingBlobs
from lepton_ai.store.contract import Blobs, Refused
from lepton_ai.testing.blobs import NAME, BlobSuite, put
from lepton_ai.testing.faults import FaultyBlobs, When


class TestRetrying(BlobSuite):
    """Every seventh call fails."""

    @pytest.fixture
    def blobs(self) -> Blobs:
        return RetryingBlobs(FaultyBlobs(MemoryBlobs(), range(0, 100_000, 7)), wait=lambda _: None)

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path

    def test_each_try_waits_longer_and_the_last_error_is_told(self, tmp_path: Path) -> None:
        waits: list[float] = []
        faulty = FaultyBlobs(MemoryBlobs(), range(100))
        with pytest.raises(StorageFailed, match="was to fail"):
            RetryingBlobs(faulty, wait=waits.append).get(NAME, 0, 1)
        assert faulty.calls == TRIES
        assert waits == sorted(waits)
        assert len(waits) == TRIES - 1
        assert all(0 < wait <= 5 for wait in waits)

    def test_what_will_not_get_better_is_not_repeated(self, tmp_path: Path) -> None:
        asked: list[str] = []

        class Closed(MemoryBlobs):
            def get(self, name: str, offset: int, length: int) -> bytes:
                asked.append(name)
                raise Refused("no")

        blobs = RetryingBlobs(Closed(), wait=lambda _: pytest.fail("waited"))
        with pytest.raises(Refused):
            blobs.get(NAME, 0, 1)
        with pytest.raises(NotFound):
            blobs.info(NAME)
        assert asked == [NAME]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_listing_tells_each_once(self, when: When, tmp_path: Path) -> None:
        inner = MemoryBlobs()
        for number in range(5):
            put(inner, tmp_path, f"a/{number}", b"x")
        blobs = RetryingBlobs(FaultyBlobs(inner, [0, 1], when), wait=lambda _: None)
        assert [info.name for info in blobs.list("a/")] == [f"a/{number}" for number in range(5)]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_deleting(self, when: When, tmp_path: Path) -> None:
        inner = MemoryBlobs()
        for number in range(5):
            put(inner, tmp_path, f"a/{number}", b"x")
        RetryingBlobs(FaultyBlobs(inner, [0], when), wait=lambda _: None).delete(f"a/{n}" for n in range(4))
        assert [info.name for info in inner.list()] == ["a/4"]

    def test_a_source_that_was_taken_is_not_asked_for_again(self, tmp_path: Path) -> None:
        blobs = RetryingBlobs(FaultyBlobs(MemoryBlobs(), [0], "after"), wait=lambda _: None)
        with pytest.raises(StorageFailed, match="after it was done"):
            put(blobs, tmp_path, NAME, b"data")


class TestCaching(BlobSuite):
    @pytest.fixture(params=["roomy", "tiny"])
    def blobs(self, request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
        limit = 1 << 30 if request.param == "roomy" else 1000
        return CachingBlobs(LocalBlobs(tmp_path / "objects"), tmp_path / "cache", limit)

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path


class Cached:
    """A cache over blobs that count, with one blob of three pages and a bit."""

    def __init__(self, folder: Path, limit: int = 1 << 30) -> None:
        self.data = os.urandom(3 * PAGE + 1000)
        self.counted = CountingBlobs(MemoryBlobs())
        put(self.counted, folder, NAME, self.data)
        self.folder, self.limit = folder / "cache", limit
        self.blobs = self.another()
        self.counted.reset()

    def another(self) -> CachingBlobs:
        """What another process sees."""
        return CachingBlobs(self.counted, self.folder, self.limit)

    def pages(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def check(self, ranges: Iterable[tuple[int, int]]) -> None:
        for start, length in ranges:
            begin = start if start >= 0 else len(self.data) + start
            assert self.blobs.get(NAME, start, length) == self.data[begin : begin + length]


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    return Cached(tmp_path)


def test_what_was_read_is_not_read_again(cached: Cached) -> None:
    cached.check([(10, 20), (30, 500), (PAGE - 1, 2), (PAGE, PAGE), (-1000, 1000), (-10, 5)])
    assert cached.counted.gets == 3
    cached.blobs = cached.another()
    cached.check([(0, len(cached.data))])  # the missing page alone
    assert (cached.counted.gets, cached.counted.bytes_read) == (4, len(cached.data))


def test_what_is_missing_side_by_side_is_read_at_once(cached: Cached) -> None:
    cached.check([(PAGE + 5, 5), (0, len(cached.data))])
    assert (cached.counted.gets, cached.counted.bytes_read) == (3, len(cached.data))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "swap"])
def test_a_disk_that_lies_costs_a_read(cached: Cached, harm: str) -> None:
    cached.check([(0, len(cached.data))])
    first, second, *_ = cached.pages()
    data = bytearray(first.read_bytes())
    data[500] ^= 1
    changed = {"flip": bytes(data), "cut": bytes(data[:400]), "empty": b"", "swap": second.read_bytes()}[harm]
    if harm == "swap":
        first.write_bytes(changed[:32] + first.read_bytes()[32:])
    else:
        first.write_bytes(changed)
    cached.check([(0, len(cached.data))])
    assert cached.counted.bytes_read == len(cached.data) + PAGE
    cached.check([(0, len(cached.data))])
    assert cached.counted.bytes_read == len(cached.data) + PAGE


def test_it_stays_within_its_limit_and_keeps_what_is_read_most(tmp_path: Path) -> None:
    cached = Cached(tmp_path, limit=20 * PAGE)
    for number in range(60):
        put(cached.counted, tmp_path, f"other/{number}", bytes([number]) * PAGE)
    cached.check([(0, PAGE)])
    for number in range(60):
        os.utime(cached.pages()[0])
        assert cached.blobs.get(f"other/{number}", 0, PAGE) == bytes([number]) * PAGE
        cached.check([(5, 10)])
        assert sum(path.stat().st_size for path in cached.pages()) <= 22 * PAGE
    assert cached.counted.gets == 61, "what was read all the time was never thrown out"


def test_only_the_owner_reads_it(cached: Cached) -> None:
    cached.check([(0, 1)])
    (page,) = cached.pages()
    assert page.stat().st_mode & 0o077 == 0
    assert page.parent.stat().st_mode & 0o077 == 0


def test_without_a_disk_it_still_reads(cached: Cached) -> None:
    cached.folder.write_bytes(b"in the way")
    cached.check([(0, 100), (PAGE, 7)])
    assert cached.counted.gets == 2


def test_errors_are_those_of_the_store(cached: Cached) -> None:
    cached.check([(0, len(cached.data))])
    with pytest.raises(Damaged):
        cached.blobs.get(NAME, len(cached.data), 1)
    with pytest.raises(NotFound):
        cached.blobs.get("nothing", 0, 1)
    cached.blobs.delete([NAME])
    assert cached.pages() == []
    with pytest.raises(NotFound):
        cached.blobs.get(NAME, 0, 1)
