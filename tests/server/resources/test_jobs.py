"""Longer work on the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from lepton_ai.catalog import jobs, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import Busy
from lepton_ai.server import working
from lepton_ai.server.running import Running
from lepton_ai.server.settings import ServerSettings
from lepton_ai.server.working import Workers
from tests.server.databases import everywhere
from tests.server.resources.test_names import model
from tests.server.resources.test_versions import HERE, place, save

__all__ = ["place"]
Called = Callable[[str], TestClient]


def ended(http: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it is over."""
    while job["state"] in ("running", "stopping"):
        time.sleep(0.05)
        job = http.get(f"{HERE}/jobs/{job['id']}").json()
    return job


def run(http: TestClient, **body: Any) -> dict[str, Any]:
    begun = http.post(f"{HERE}/jobs", json=body)
    assert begun.status_code == 202, begun.text
    assert begun.headers["location"] == f"{HERE}/jobs/{begun.json()['id']}"
    return ended(http, begun.json())


@everywhere
def test_keeping_house(ada: TestClient, root: TestClient, place: str) -> None:
    save(ada, model(a=1))
    save(ada, model(a=2))
    clean = run(ada, kind="verify")
    assert (clean["state"], clean["result"]["clean"], clean["started_by"]) == ("done", True, "ada")
    stats = run(ada, kind="stats")["result"]
    assert [v["name"] for v in stats["versions"]] == ["v1", "v2"]
    ada.delete(f"{place}/versions/v2")
    foretold = run(root, kind="gc", grace=0, dry_run=True)["result"]
    assert foretold["versions"] == ["v2"]
    packed = run(root, kind="repack")
    assert packed["state"] == "done", packed
    done = run(root, kind="gc", grace=0)["result"]
    assert done["versions"] == ["v2"]
    assert ada.get(f"{place}/versions?deleted=true").json()["versions"][0]["status"] == "Purged"
    assert ada.get(f"{place}/versions/v1/files/model.safetensors").content == model(a=1)
    assert run(ada, kind="verify")["result"]["clean"]
    listed = ada.get(f"{place}/jobs?limit=2").json()
    rest = ada.get(f"{place}/jobs?limit=100&after={listed['next']}").json()
    kinds = [job["kind"] for job in listed["jobs"] + rest["jobs"]]
    assert kinds == ["verify", "gc", "repack", "gc", "stats", "verify"]


def test_a_merge_is_done_again(ada: TestClient, place: str) -> None:
    save(ada, model(a=1, b=1))
    ada.post(f"{place}/branches", json={"name": "feature"})
    save(ada, model(a=2, b=1))
    save(ada, model(a=3, b=1), branch="feature")
    ada.post(f"{place}/merges", json={"sources": ["feature"], "method": "linear"})
    assert run(ada, kind="replay", version="v3")["result"]["same"]
    failed = run(ada, kind="replay", version="v2")
    assert (failed["state"], failed["problem"]["kind"]) == ("failed", "not-found")
    assert ada.post(f"{place}/jobs", json={"kind": "replay"}).status_code == 400
    assert ada.post(f"{place}/jobs", json={"kind": "nonsense"}).status_code == 422
    assert ada.get(f"{place}/jobs/nothing").status_code == 404


@pytest.mark.parametrize(("person", "kind"), [("ada", "gc"), ("ada", "repack"), ("guest", "verify")])
def test_who_may_not(called: Called, place: str, person: str, kind: str) -> None:
    answer = called(person).post(f"{place}/jobs", json={"kind": kind})
    assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden")


def test_progress_is_seen_and_a_stop_breaks_off(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "BEAT", 0.02)
    catalog = Catalog(settings.database_url)
    workers = Workers(catalog)
    stopped: list[str] = []

    def work(progress: Any) -> None:
        progress.start("counting", 10**9)
        try:
            while True:
                progress.advance(1)
                time.sleep(0.005)
        except BaseException as reason:
            stopped.append(type(reason).__name__)
            raise

    job = workers.begin(7, "verify", {}, "ada", work)
    while not (seen := jobs.find(catalog, 7, job.id)).done:
        time.sleep(0.01)
    assert (seen.state, seen.task, seen.total) == ("running", "counting", 10**9)
    workers.close()
    assert stopped == ["Stopped"]
    told = jobs.find(catalog, 7, job.id)
    assert (told.state, msgspec.json.decode(told.result or "{}")["kind"]) == ("failed", "busy")
    with pytest.raises(Busy):
        workers.begin(7, "verify", {}, "ada", work)
    catalog.close()


def test_a_job_is_broken_off_at_its_next_step(
    called: Called, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who began it, or an administrator; one that waits for its turn too."""
    monkeypatch.setattr(working, "BEAT", 0.02)
    ada, eve, root = (called(name) for name in ("ada", "eve", "root"))
    running: Running = ada.app.state.running  # type: ignore[attr-defined]
    row = repositories.find(running.catalog, "ada", "digits")

    def work(progress: Any) -> None:
        progress.start("counting", 10**9)
        while True:
            progress.advance(1)
            time.sleep(0.005)

    begun = [running.workers.begin(row.number, "verify", {}, "ada", work) for _ in range(working.AT_ONCE + 1)]
    first, second, waiting = begun
    assert eve.post(f"{place}/jobs/{first.id}/cancel").status_code == 403
    told = ada.post(f"{place}/jobs/{waiting.id}/cancel").json()
    assert told["state"] == "stopping"
    assert ada.post(f"{place}/jobs/{first.id}/cancel").status_code == 200
    assert root.post(f"{place}/jobs/{second.id}/cancel").status_code == 200
    for job in begun:
        found = ended(ada, {"id": job.id, "state": "running"})
        assert (found["state"], found["result"], found["problem"]) == ("cancelled", None, None)
        assert found["ended_at"]
    assert ada.post(f"{place}/jobs/{first.id}/cancel").json()["state"] == "cancelled"
    assert ada.post(f"{place}/jobs/nothing/cancel").status_code == 404
    done = run(ada, kind="stats")
    assert ada.post(f"{place}/jobs/{done['id']}/cancel").json()["state"] == "done"


def test_one_person_does_not_take_all_places(settings: ServerSettings) -> None:
    catalog = Catalog(settings.database_url)
    workers, go_on = Workers(catalog), threading.Event()
    mine = [workers.begin(7, "verify", {}, "ada", lambda _: go_on.wait(60)) for _ in range(working.OF_ONE)]
    with pytest.raises(Busy, match="of yours"):
        workers.begin(7, "verify", {}, "ada", lambda _: None)
    other = workers.begin(7, "verify", {}, "eve", lambda _: None)
    go_on.set()
    for job in (*mine, other):
        while jobs.find(catalog, 7, job.id).state == "running":
            time.sleep(0.01)
    while workers._under_way.total():
        time.sleep(0.01)
    workers.begin(7, "verify", {}, "ada", lambda _: None)
    workers.close()
    catalog.close()


def test_an_error_of_ours_is_not_told(settings: ServerSettings) -> None:
    catalog = Catalog(settings.database_url)
    workers = Workers(catalog)
    job = workers.begin(7, "verify", {}, "ada", lambda _: {}["secret"])
    while (told := jobs.find(catalog, 7, job.id)).state == "running":
        time.sleep(0.01)
    assert "secret" not in (told.result or "")
    workers.close()
    catalog.close()


def test_a_job_whose_server_died_is_lost(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(settings.database_url)
    job = jobs.begin(catalog, 7, "gc", {}, "ada")
    assert jobs.find(catalog, 7, job.id).state == "running"
    monkeypatch.setattr(jobs, "PATIENCE", -1.0)
    assert jobs.find(catalog, 7, job.id).state == "lost"
    assert jobs.page(catalog, 8, None, 10) == []
    catalog.close()
