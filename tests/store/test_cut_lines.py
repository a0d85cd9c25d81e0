"""The line to the store is cut in every request of every call: nothing is half there, never fewer bytes than asked.

Without the library's own tries, so that each cut is seen; then with ours, so that none is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from lepton_ai.errors import NotFound, StorageFailed
from lepton_ai.store.blobs import bucket, objects
from lepton_ai.store.blobs.objects import open_objects
from lepton_ai.store.blobs.retrying import RetryingBlobs
from lepton_ai.store.contract import Blobs, Presigning, presigning
from lepton_ai.testing.blobs import put
from tests.between_s3 import Cut, Line, between

LARGE = os.urandom(2 * (5 << 20) + 777)
SMALL = os.urandom(5000)


class World:
    """A bucket seen straight (``there``), and over a line that is cut; ``blobs`` are what is tried."""

    def __init__(self, there: Blobs, blobs: Blobs, folder: Path) -> None:
        self.there, self.blobs, self.folder = there, blobs, folder

    @property
    def presigns(self) -> Presigning:
        found = presigning(self.blobs)
        assert found is not None
        return found

    def content(self, name: str) -> bytes | None:
        try:
            return self.there.get(name, 0, self.there.info(name).size)
        except NotFound:
            return None

    def send(self, data: bytes) -> None:
        source = self.folder / "source"
        source.write_bytes(data)
        self.blobs.put("packs/new", source)
        assert not source.exists()
        assert self.content("packs/new") == data


def small(world: World) -> None:
    world.send(SMALL)


def large(world: World) -> None:
    world.send(LARGE)


def read(world: World) -> None:
    assert world.blobs.get("packs/old", 10, 3000) == SMALL[10:3010]
    assert world.blobs.get("packs/old", -100, 100) == SMALL[-100:]


def look(world: World) -> None:
    assert world.blobs.info("packs/old").size == len(SMALL)
    assert sorted(info.name for info in world.blobs.list("packs/")) == ["packs/old", "packs/older"]


def delete(world: World) -> None:
    world.blobs.delete(["packs/old", "packs/never"])
    assert world.content("packs/old") is None


def adopt(world: World) -> None:
    world.presigns.adopt("packs/old", "packs/new")
    assert (world.content("packs/old"), world.content("packs/new")) == (None, SMALL)


CALLS: dict[str, Callable[[World], None]] = {
    call.__name__: call for call in (small, large, read, look, delete, adopt)
}

EACH = [pytest.param(name, marks=pytest.mark.slow if name == "large" else ()) for name in CALLS]


@pytest.fixture
def line(s3_server: str) -> Iterator[Line]:
    with between(s3_server) as line:
        yield line


@pytest.fixture
def opened(s3_url: str, s3_server: str, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a world whose blobs are in a folder of their own."""
    monkeypatch.setitem(objects._RETRY, "max_retries", 0)
    monkeypatch.setattr(bucket, "IN_ONE_PIECE", 5 << 20)
    numbers = itertools.count()

    def make() -> World:
        prefix = f"world-{next(numbers)}"
        there = open_objects(s3_url, prefix)
        put(there, tmp_path, "packs/old", SMALL)
        put(there, tmp_path, "packs/older", b"x")
        return World(there, open_objects(s3_url.replace(s3_server, line.address), prefix), tmp_path)

    return make


@pytest.mark.parametrize("where", get_args(Cut))
@pytest.mark.parametrize("name", EACH)
def test_any_request_may_be_cut(name: str, where: Cut, opened: Callable[[], World], line: Line) -> None:
    for number in itertools.count():
        world = opened()
        line.watch(number, where)
        try:
            CALLS[name](world)
        except StorageFailed:
            line.watch(None, where)
            whole = {"small": SMALL, "large": LARGE, "adopt": SMALL}.get(name)
            assert world.content("packs/new") in (None, whole), "half of it is there"
            assert world.content("packs/old") in (None, SMALL)
            if name not in ("delete", "adopt"):
                assert world.content("packs/old") == SMALL
            if name in ("small", "large"):
                assert (world.folder / "source").read_bytes() == whole, (
                    "the source is kept until its bytes are safe"
                )
            if world.content("packs/old") is not None or name != "adopt":
                CALLS[name](world)  # the next try goes through
        if line.count <= number:
            break
    assert number > 0


@pytest.mark.parametrize("where", get_args(Cut))
@pytest.mark.parametrize("name", EACH[:-1])
def test_another_try_and_nobody_notices(
    name: str, where: Cut, opened: Callable[[], World], line: Line
) -> None:
    for number in itertools.count():
        world = opened()
        world.blobs = RetryingBlobs(world.blobs, wait=lambda _: None)
        line.watch(number, where)
        CALLS[name](world)
        if line.count <= number:
            break
