"""Only clients hold the key: what needs plain weights says so, everything else works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.server.sync.pushing import PLACE, announce, push
from tests.server.sync.recorded import Client

WEIGHTS: tuple[tuple[str, str, object], ...] = (
    ("GET", "versions/v1/files/model.bin", None),
    ("GET", "versions/v1/export", None),
    ("GET", "versions/v1/tensors", None),
    ("GET", "versions/v1/tensors/x", None),
    ("GET", "tensor-histories/x", None),
    ("GET", "diff?before=v1&after=v2", None),
    ("GET", "diff.html?before=v1&after=v2", None),
    ("POST", "versions", {"files": [{"path": "x", "content": "AAAA"}]}),
    ("PATCH", "versions/v1", {"metrics": {"a": 1}}),
    ("POST", "imports", {"content": "AAAA"}),
    ("POST", "rollbacks", {"version": "v1"}),
    ("POST", "merge-previews", {"sources": ["feature"]}),
    ("POST", "merges", {"sources": ["feature"]}),
    ("POST", "cherry-picks", {"version": "v1"}),
    ("POST", "reverts", {"version": "v2"}),
    ("POST", "jobs", {"kind": "verify"}),
    ("POST", "jobs", {"kind": "stats"}),
    ("POST", "jobs", {"kind": "gc"}),
    ("POST", "jobs", {"kind": "repack"}),
)
"""As docs/server.md lists it."""


@pytest.fixture
def closed(root: TestClient, tmp_path: Path) -> str:
    """A repository with v1 and v2, of which the server has no key."""
    client = Client(tmp_path / "client")
    client.save(
        os.urandom(100_000), metrics={"accuracy": 0.5}, params={"lr": 0.1}, history={"loss": [1.0, 0.5]}
    )
    client.save(os.urandom(100_000), metrics={"accuracy": 0.75})
    assert not announce(root, client, master=False).readable
    push(root, client)
    return PLACE


def test_what_needs_plain_weights_says_that_the_key_is_missing(root: TestClient, closed: str) -> None:
    assert root.post(f"{closed}/branches", json={"name": "feature"}).status_code == 201
    before = root.get(f"{closed}/log").json()
    for method, path, body in WEIGHTS:
        answer = root.request(method, f"{closed}/{path}", json=body)
        assert (answer.status_code, answer.json()["kind"]) == (409, "key-missing"), (
            method,
            path,
            answer.text,
        )
        assert answer.json()["hint"], path
    assert root.get(f"{closed}/log").json() == before


def test_names_metrics_and_times_work(
    root: TestClient, called: Callable[[str], TestClient], closed: str
) -> None:
    listed = root.get(f"{closed}/versions", params={"where": "metrics.accuracy > 0.6"}).json()["versions"]
    assert [v["name"] for v in listed] == ["v2"]
    facts = root.get(f"{closed}/versions/v1").json()
    assert (facts["metrics"], facts["params"]) == ({"accuracy": 0.5}, {"lr": 0.1})
    assert facts["history"] == {}  # training curves are sealed
    assert "key" in facts["notes"][0]
    assert root.get(f"{closed}/versions/v1/files").json()[0]["path"] == "model.bin"
    assert root.put(f"{closed}/tags/paper", json={"version": "v1"}).status_code == 201
    assert root.put(f"{closed}/aliases/production", json={"version": "v1"}).status_code == 200
    assert root.get(f"{closed}/alias-meanings/production").status_code == 200
    assert root.post(f"{closed}/branches", json={"name": "feature", "base": "v1"}).status_code == 201
    assert root.patch(f"{closed}/branches/feature", json={"name": "wider"}).status_code == 200
    assert root.delete(f"{closed}/branches/wider").status_code == 200
    assert root.delete(f"{closed}/versions/v2").status_code == 204
    assert root.patch(f"{closed}/versions/v2", json={"deleted": False}).status_code == 200
    assert root.get(f"{closed}/merges").json() == []
    assert len(root.get(f"{closed}/graph").json()["versions"]) == 2
    assert root.get(f"{closed}/log").json()["moves"][0]["actor"] == "root"
