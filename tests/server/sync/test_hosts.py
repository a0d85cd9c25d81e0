"""Two real servers ("hosts": each with a cache of its own) over one database and one folder; one of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from blake3 import blake3

from lepton_ai import ModelRepository
from lepton_ai.client import login
from lepton_ai.history import leases
from tests.client.places import content, save, tuned, weights
from tests.server.processes import PASSWORD, Server, make, started

API = "/api/v1/repositories/ana/digits"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    folder = make(tmp_path / "server")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    shared = {
        "LEPTON_AI_SERVER_DATABASE": f"sqlite:///{folder}/catalog.db",
        "LEPTON_AI_SERVER_OBJECTS": f"file://{folder}/objects",
        "LEPTON_AI_SERVER_SERVER_KEY": f"{folder}/keys/server.key",
        "LEPTON_AI_SERVER_RATE": "1000000",
    }
    with started(folder, **shared) as one, started(other, **shared) as two:
        yield one, two


def repository(host: Server) -> dict[str, str]:
    token = host.token()
    body = {"owner": "ana", "name": "digits"}
    assert httpx.post(f"{host.address}/api/v1/repositories", json=body, headers=token).status_code == 201
    return token


def test_a_server_is_killed_while_bytes_come_and_another_goes_on(hosts: tuple[Server, Server]) -> None:
    one, two = hosts
    token = repository(one)
    data = os.urandom(24 << 20)
    name = blake3(data).hexdigest()
    begun = httpx.post(
        f"{one.address}{API}/uploads", json={"pack": name, "size": len(data)}, headers=token
    ).json()

    def slowly() -> Iterator[bytes]:
        for start in range(0, 16 << 20, 1 << 20):
            yield data[start : start + (1 << 20)]
        while held(one, token, begun["id"]) < 8 << 20:
            time.sleep(0.02)
        one.process.send_signal(signal.SIGKILL)
        yield data[16 << 20 :]

    told = {**token, "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
    with pytest.raises(httpx.TransportError):
        httpx.put(f"{one.address}{API}/uploads/{begun['id']}", content=slowly(), headers=told, timeout=60)
    one.process.wait(30)
    kept = held(two, token, begun["id"])
    assert kept >= 8 << 20
    told["Content-Range"] = f"bytes {kept}-{len(data) - 1}/{len(data)}"
    rest = httpx.put(
        f"{two.address}{API}/uploads/{begun['id']}", content=data[kept:], headers=told, timeout=60
    )
    assert rest.json()["held"] == len(data)
    done = httpx.post(f"{two.address}{API}/uploads/{begun['id']}/finish", headers=token, timeout=60)
    # Every byte is right: it hashes to its name. It is no pack all the same, and never appears.
    assert (done.status_code, "no pack" in done.json()["detail"]) == (400, True)
    assert httpx.get(f"{two.address}{API}/packs/{name}", headers=token).status_code == 404


def held(host: Server, token: dict[str, str], upload: str) -> int:
    answer = httpx.get(f"{host.address}{API}/uploads/{upload}", headers=token)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["held"])


@pytest.mark.slow
def test_garbage_is_collected_while_two_save_through_other_hosts(
    hosts: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases of clients count on the server: nothing that a save relies on is freed, whichever host it goes through."""
    one, two = hosts
    token = repository(one)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "client-cache"))
    over, problems = threading.Event(), list[BaseException]()

    def saving(host: Server, branch: str) -> None:
        try:
            login.by_password(host.address, "ana", PASSWORD)
            with ModelRepository(f"{host.address}/ana/digits", author=branch) as there:
                there.create_branch(branch)
                model: dict[str, Any] = weights(len(branch))
                for number in range(4):
                    model = tuned(model, number)
                    save(there, tmp_path / branch, model, branch)
                    save(there, tmp_path / branch, {"noise": np.random.default_rng().random(50_000)}, branch)
                    there.delete_version(f"{branch}@v{2 * number + 2}")
        except BaseException as problem:  # noqa: BLE001  (told by the test)
            problems.append(problem)

    def collecting() -> None:
        while not over.is_set():
            begun = httpx.post(
                f"{two.address}{API}/jobs", json={"kind": "gc", "grace": 0}, headers=token
            ).json()
            ended(two, token, begun)

    collector = threading.Thread(target=collecting)
    savers = [threading.Thread(target=saving, args=pair) for pair in ((one, "left"), (two, "rights"))]
    for thread in (collector, *savers):
        thread.start()
    for thread in savers:
        thread.join()
    over.set()
    collector.join()
    assert problems == []
    begun = httpx.post(f"{one.address}{API}/jobs", json={"kind": "verify"}, headers=token).json()
    verdict = ended(one, token, begun)
    assert verdict["result"]["clean"], verdict
    with ModelRepository(f"{two.address}/ana/digits") as there:
        for branch in ("left", "rights"):
            assert [info.name for info in there.list_versions(branch)] == ["v1", "v3", "v5", "v7"]
            for number in (1, 3, 5, 7):
                assert content(there, f"{branch}@v{number}", tmp_path / "out")
        assert leases.living(there.home.history) == []


def ended(host: Server, token: dict[str, str], job: dict[str, Any]) -> dict[str, Any]:
    while job["state"] == "running":
        time.sleep(0.05)
        job = httpx.get(f"{host.address}{API}/jobs/{job['id']}", headers=token).json()
    return job
