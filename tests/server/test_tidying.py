"""What goes by itself, and what stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient

from lepton_ai.catalog import events, people, purging, repositories
from lepton_ai.errors import StorageFailed
from lepton_ai.server import tidying
from lepton_ai.server.running import Running
from lepton_ai.server.tidying import Tidied

DAY = 24 * 3600 * 1_000_000

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def running(ana: TestClient) -> Running:
    found: Running = ana.app.state.running  # type: ignore[attr-defined]
    return found


def _files(running: Running) -> list[str]:
    return sorted(info.name for info in running.objects.list("repositories/"))


def test_what_a_removed_repository_leaves_goes_after_the_grace_and_nothing_else(
    ana: TestClient, running: Running, tmp_path: Any
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 64)
    for name in ("gone", "stays"):
        assert ana.post("/api/v1/repositories", json={"owner": "ana", "name": name}).status_code == 201
        row = repositories.find(running.catalog, "ana", name)
        running.homes.open(row, author="ana").save_files(tmp_path / "weights.bin", "main")
    before = _files(running)
    assert ana.delete("/api/v1/repositories/ana/gone").status_code == 204
    now = people.now()
    assert tidying.tidy(running, now + 6 * DAY) == Tidied(0, 0)
    assert _files(running) == before
    assert tidying.tidy(running, now + 8 * DAY) == Tidied(0, 1)
    left = _files(running)
    place = repositories.find(running.catalog, "ana", "stays").place
    assert left == [name for name in before if name.startswith(f"repositories/{place}/")]
    assert 0 < len(left) < len(before)
    assert purging.removed(running.catalog) == []
    assert ana.get("/api/v1/repositories/ana/stays/versions").json()["versions"][0]["name"] == "v1"
    assert tidying.tidy(running, now + 8 * DAY) == Tidied(0, 0)


def test_old_events_are_forgotten_but_the_newest(ana: TestClient, running: Running) -> None:
    assert ana.post("/api/v1/repositories", json={"owner": "ana", "name": "x"}).status_code == 201
    for name in ("one", "two"):
        assert ana.post("/api/v1/repositories/ana/x/branches", json={"name": name}).status_code == 201
    row = repositories.find(running.catalog, "ana", "x")
    assert tidying.tidy(running).events == 0
    assert tidying.tidy(running, people.now() + 31 * DAY).events == 2
    assert [event.ref for event in events.after(running.catalog, row.number)] == ["branch/two"]


def test_a_round_that_fails_is_not_the_last(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []

    def fails(held: Running) -> Tidied:
        rounds.append(1)
        if len(rounds) == 3:
            held.stopping.set()
        raise StorageFailed("the disk is away")

    monkeypatch.setattr(tidying, "tidy", fails)
    monkeypatch.setattr(tidying, "EVERY", 0.01)

    async def keep() -> None:
        held = Running(running.settings)
        await tidying.keep_tidy(held)

    asyncio.run(keep())
    assert len(rounds) == 3
