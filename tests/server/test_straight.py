"""Packs that travel straight between a client and the object store, with a server process between them for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import ModelRepository
from lepton_ai.store.blobs.objects import open_objects
from tests.between_s3 import Line, between
from tests.client.places import content, names, save
from tests.server.processes import Server, make, started
from tests.services_s3 import CREDENTIALS

SIZE = 5 << 20
"""Numbers of the model: 20 MiB, which is more than what comes through the server anyway."""


@pytest.fixture
def line(s3_server: str) -> Iterator[Line]:
    """Between clients and the store; the server has another way."""
    with between(s3_server) as line:
        yield line


@pytest.fixture
def server(s3_url: str, line: Line, tmp_path: Path) -> Iterator[Server]:
    with started(make(tmp_path / "server"), "--objects", f"{s3_url}&public={line.address}") as server:
        yield server


@pytest.fixture
def ours(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRepository]:
    monkeypatch.setenv("LEPTON_AI_TOKEN", server.token()["Authorization"].removeprefix("Bearer "))
    model = {"w": np.random.default_rng(0).standard_normal(SIZE, dtype=np.float32)}
    with ModelRepository(tmp_path / "ours", author="ana") as repo:
        repo.add_remote("origin", f"{server.address}/ana/digits")
        save(repo, tmp_path / "in", model)
        yield repo


def brought(server: Server) -> int:
    """Requests that brought bytes through the server."""
    return sum(
        1
        for entry in server.lines()
        if entry.get("method") == "PUT" and "upload" in str(entry.get("route", ""))
    )


def check(ours: ModelRepository, server: Server, s3_url: str, folder: Path) -> None:
    """Everything is there, and nothing is left under way."""
    with ModelRepository(f"{server.address}/ana/digits") as there:
        assert names(there) == ["v1"]
        assert content(there, "v1", folder / "out") == content(ours, "v1", folder / "own")
        assert there.verify().clean
    found = [info.name for info in open_objects(s3_url).list()]
    assert found
    assert all("/packs/" in name for name in found), "something is left of the upload"


def test_a_large_pack_goes_straight_to_the_store(
    ours: ModelRepository, server: Server, line: Line, s3_url: str, tmp_path: Path
) -> None:
    ours.push()
    assert line.count >= 3, "its parts"
    assert brought(server) == 0
    told = str(server.lines())
    assert "X-Amz-Signature" not in told
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in told
    check(ours, server, s3_url, tmp_path)


@pytest.mark.parametrize(
    "where",
    ["question", *(pytest.param(where, marks=pytest.mark.slow) for where in ("unanswered", "answer"))],
)
def test_a_cut_on_the_way_to_the_store(
    where: str, ours: ModelRepository, server: Server, line: Line, s3_url: str, tmp_path: Path
) -> None:
    line.watch(1, where)  # type: ignore[arg-type]
    ours.push()
    check(ours, server, s3_url, tmp_path)


@pytest.mark.slow
def test_a_store_that_the_client_does_not_reach(
    ours: ModelRepository, server: Server, line: Line, s3_url: str, tmp_path: Path
) -> None:
    """Then the server passes everything on."""
    line.closed = True
    ours.push()
    assert brought(server) > 0
    check(ours, server, s3_url, tmp_path)


@pytest.mark.parametrize("number", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_clone_that_is_cut_on_the_way_from_the_store_goes_on(
    number: int, ours: ModelRepository, server: Server, line: Line, tmp_path: Path
) -> None:
    ours.push()
    line.watch(number, "answer")
    with ModelRepository.clone(f"{server.address}/ana/digits", tmp_path / "copy") as copy:
        assert line.count > number + 1
        assert content(copy, "v1", tmp_path / "out") == content(ours, "v1", tmp_path / "own")
        assert copy.verify().clean
    line.watch(None, "answer")
    line.closed = True  # the store is out of reach: the server passes everything on
    with ModelRepository.clone(f"{server.address}/ana/digits", tmp_path / "other") as copy:
        assert copy.verify().clean
