"""Two hosts beside each other over one PostgreSQL and one S3 store: what one is told, the other knows at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx

from tests.server.processes import LONGEST, PASSWORD, PROGRAM, started
from tests.services import Service


def _found(
    folder: Path, database: str, objects: str, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    """A host's folder. The database's address, which may hold a password, comes by the environment."""
    return subprocess.run(
        [*PROGRAM, "server", "init", str(folder), "--admin", "ana", "--password-stdin", "--objects", objects],
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LEPTON_AI_SERVER_DATABASE": database},
        timeout=LONGEST,
    )


def test_two_hosts_are_one_server(tmp_path: Path, postgresql: Service, s3_url: str) -> None:
    database = postgresql.fresh()
    one, two = tmp_path / "one", tmp_path / "two"
    first = _found(one, database, s3_url)
    assert first.returncode == 0, first.stderr
    stranger = _found(two, database, s3_url, "not the password")
    assert stranger.returncode == 2, stranger.stderr
    assert not (two / "server.json").exists()
    assert _found(two, database, s3_url).returncode == 0
    shutil.copy(one / "keys" / "server.key", two / "keys" / "server.key")
    assert json.loads((one / "server.json").read_text())["database"] == database
    assert not (one / "catalog.db").exists()

    with started(one) as left, started(two, "--workers", "2") as right:
        headers = left.token()
        made = {"owner": "ana", "name": "digits"}
        answer = httpx.post(f"{left.address}/api/v1/repositories", json=made, headers=headers)
        assert answer.status_code == 201, answer.text
        place = "/api/v1/repositories/ana/digits"
        there = httpx.get(right.address + place, headers=headers)
        assert (there.status_code, there.headers.get("etag")) == (200, answer.headers["etag"])
        assert there.json()["readable"] is True
        follow = {"repository": "ana/digits"}
        with httpx.stream(
            "GET", f"{left.address}/api/v1/events", params=follow, headers=headers, timeout=30
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            branch = httpx.post(f"{right.address}{place}/branches", json={"name": "feature"}, headers=headers)
            assert branch.status_code == 201, branch.text
            assert any(line == "event: branch-created" for line in lines)
        assert httpx.post(f"{right.address}/api/v1/logout", headers=headers).status_code == 204
        assert httpx.get(f"{left.address}/api/v1/me", headers=headers).status_code == 401
        assert (left.stop(), right.stop()) == (0, 0)
    logged = (one / "log").read_text() + (two / "log").read_text()
    assert postgresql.password not in logged
