"""What goes by itself, and what stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lepton_ai.catalog import events, orphans, people, purging, repositories
from lepton_ai.errors import StorageFailed
from lepton_ai.server import tidying
from lepton_ai.server.homes import objects_of
from lepton_ai.server.running import Running
from lepton_ai.server.tidying import Tidied
from lepton_ai.store.packs.format import blob_name

DAY = 24 * 3600 * 1_000_000

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def running(ana: TestClient) -> Running:
    found: Running = ana.app.state.running  # type: ignore[attr-defined]
    return found


def _files(running: Running) -> list[str]:
    return sorted(info.name for info in running.objects.list("repositories/"))


def test_what_a_removed_repository_leaves_goes_after_the_grace_and_nothing_else(
    ana: TestClient, running: Running, tmp_path: Path
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


def test_packs_that_a_killed_server_did_not_list_go_after_a_while(
    ana: TestClient, running: Running, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 64)
    assert ana.post("/api/v1/repositories", json={"owner": "ana", "name": "x"}).status_code == 201
    row = repositories.find(running.catalog, "ana", "x")
    running.homes.open(row, author="ana").save_files(tmp_path / "weights.bin", "main")
    before = _files(running)
    (tmp_path / "lost").write_bytes(b"half of a push")
    blobs, lost = objects_of(running.objects, row), blob_name("ab" * 32)
    blobs.put(lost, tmp_path / "lost")
    week = people.now() // (7 * DAY) * 7 * DAY
    turn = week + row.number % tidying.TURNS * tidying.HOUR
    for moment in (turn, turn + 14 * DAY + tidying.HOUR):  # too young; not the turn of this repository
        assert tidying.tidy(running, moment).packs == 0
        assert len(_files(running)) == len(before) + 1
    assert tidying.tidy(running, turn + 14 * DAY).packs == 0  # noted
    assert tidying.tidy(running, turn + 21 * DAY).packs == 1
    assert _files(running) == before
    assert running.homes.open(row, author="ana").verify().clean


def test_a_repository_that_cannot_be_looked_through_keeps_no_other_from_it(
    ana: TestClient, running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def swept(_catalog: object, number: int, *_: object) -> int:
        seen.append(number)
        if len(seen) == 1:
            raise StorageFailed("the disk is away")
        return 3

    monkeypatch.setattr(orphans, "sweep", swept)
    monkeypatch.setattr(tidying, "TURNS", 1)
    for name in ("x", "y"):
        assert ana.post("/api/v1/repositories", json={"owner": "ana", "name": name}).status_code == 201
    assert tidying.tidy(running).packs == 3
    assert len(set(seen)) == 2
    assert "of ana/x stay for now: the disk is away" in caplog.text


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
