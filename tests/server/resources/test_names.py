"""Branches, tags, aliases, merges and logs through HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient

from tests.server.databases import everywhere
from tests.server.resources.test_versions import HERE, place, save

__all__ = ["place"]
Called = Callable[[str], TestClient]


def model(**tensors: float) -> bytes:
    return bytes(
        safetensors.numpy.save({name: np.full(1000, value, "float32") for name, value in tensors.items()})
    )


@pytest.fixture
def parted(ada: TestClient, place: str) -> str:
    """main and feature went different ways: each changed one tensor for itself, and both changed "both"."""
    save(ada, model(ours=1, theirs=1, both=1))
    assert ada.post(f"{place}/branches", json={"name": "feature"}).status_code == 201
    save(ada, model(ours=2, theirs=1, both=2))
    save(ada, model(ours=1, theirs=3, both=3), branch="feature")
    return place


@everywhere
def test_branches_live_and_die(ada: TestClient, place: str) -> None:
    save(ada, model(a=1))
    made = ada.post(f"{place}/branches", json={"name": "team/feature", "base": "v1"})
    assert (made.status_code, made.json()["head"]["name"], made.json()["created_by"]) == (201, "v1", "ada")
    assert ada.post(f"{place}/branches", json={"name": "team/feature"}).json()["kind"] == "already-exists"
    assert ada.post(f"{place}/branches", json={"name": "team/feature", "exist_ok": True}).status_code == 201
    tag = made.headers["etag"]
    assert ada.get(f"{place}/branches/team/feature", headers={"If-None-Match": tag}).status_code == 304
    save(ada, model(a=2), branch="team/feature")
    for late in (
        ada.patch(f"{place}/branches/team/feature", json={"name": "x"}, headers={"If-Match": tag}),
        ada.delete(f"{place}/branches/team/feature", headers={"If-Match": tag}),
        ada.post(
            f"{place}/rollbacks", json={"version": "v1", "branch": "team/feature"}, headers={"If-Match": tag}
        ),
    ):
        assert late.status_code == 412
    renamed = ada.patch(f"{place}/branches/team/feature", json={"name": "wider"})
    assert renamed.json()["name"] == "wider"
    page = ada.get(f"{place}/branches?limit=1").json()
    rest = ada.get(f"{place}/branches?limit=1&after={page['next']}").json()
    assert [page["branches"][0]["name"], rest["branches"][0]["name"]] == ["main", "wider"]
    assert ada.delete(f"{place}/branches/wider").json() == {"deleted": "wider", "versions": ["v2"]}
    assert [b["name"] for b in ada.get(f"{place}/branches").json()["branches"]] == ["main"]
    told = ada.get(f"{place}/branches?deleted=true").json()["branches"]
    assert [(b["name"], b["status"]) for b in told] == [("main", "Active"), ("wider", "Deleted")]
    assert ada.patch(f"{place}/branches/wider", json={"deleted": False}).json()["head"]["name"] == "v2"
    assert ada.patch(f"{place}/branches/wider", json={}).status_code == 400
    assert ada.get(f"{place}/branches/nothing").status_code == 404


@everywhere
def test_tags_stay_and_aliases_remember(ada: TestClient, called: Called, place: str) -> None:
    save(ada, model(a=1))
    save(ada, model(a=2))
    assert ada.put(f"{place}/tags/paper", json={"version": "main"}).json()["version"]["name"] == "v2"
    assert ada.put(f"{place}/tags/paper", json={"version": "v1"}).json()["kind"] == "already-exists"
    assert ada.delete(f"{place}/versions/v2").json()["kind"] == "in-use"
    first = ada.put(f"{place}/aliases/production", json={"version": "v1", "message": "go"})
    assert (first.status_code, first.json()["version"]["name"]) == (200, "v1")
    between = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    eve = called("eve")
    moved = eve.put(
        f"{place}/aliases/production", json={"version": "v2"}, headers={"If-Match": first.headers["etag"]}
    )
    assert moved.status_code == 200
    late = ada.put(
        f"{place}/aliases/production", json={"version": "v1"}, headers={"If-Match": first.headers["etag"]}
    )
    assert (late.status_code, late.json()["kind"]) == (412, "lost-race")
    told = ada.get(f"{place}/alias-meanings/production").json()["meanings"]
    assert [(m["version"]["name"], m["by"], m["why"]) for m in told] == [
        ("v2", "eve", ""),
        ("v1", "ada", "go"),
    ]
    then = ada.get(f"{place}/alias-meanings/production", params={"at": between}).json()["meanings"]
    assert [m["version"]["name"] for m in then] == ["v1"]
    assert ada.get(f"{place}/alias-meanings/production?at=2020-01-01T00:00:00Z").status_code == 404
    assert ada.get(f"{place}/alias-meanings/production?at=yesterday").status_code == 400
    assert ada.get(f"{place}/alias-meanings/nothing").status_code == 404
    assert ada.get(f"{place}/versions/production").json()["aliases"] == ["production"]
    assert [t["name"] for t in ada.get(f"{place}/tags").json()["labels"]] == ["paper"]
    assert [t["name"] for t in ada.get(f"{place}/aliases").json()["labels"]] == ["production"]
    assert ada.delete(f"{place}/aliases/production").status_code == 204
    assert ada.delete(f"{place}/tags/paper").status_code == 204
    assert ada.get(f"{place}/tags/paper").status_code == 404
    assert ada.get(f"{place}/alias-meanings/production").json()["meanings"][0]["version"] is None


@everywhere
def test_if_match_is_exact_in_a_race(called: Called, ada: TestClient, place: str) -> None:
    """Twenty people move an alias that they all read as it was, to one of two versions: it moves once."""
    for number in (1, 2, 3):
        save(ada, model(a=number))
    tag = ada.put(f"{place}/aliases/p", json={"version": "v1"}).headers["etag"]
    answers: list[tuple[int, str]] = []

    def move(version: str) -> None:
        answer = called("eve").put(f"{place}/aliases/p", json={"version": version}, headers={"If-Match": tag})
        answers.append((answer.status_code, version))

    threads = [threading.Thread(target=move, args=(f"v{2 + number % 2}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = ada.get(f"{place}/aliases/p").json()["version"]["name"]
    told = {version for status, version in answers if status == 200}
    assert {status for status, _ in answers} <= {200, 412}
    assert told == {now}  # who wanted the same found it done
    assert len(ada.get(f"{place}/alias-meanings/p").json()["meanings"]) == 2


def test_a_merge_is_foretold_refused_and_made(ada: TestClient, parted: str) -> None:
    asked = {"sources": ["feature"], "into": "main"}
    told = ada.post(f"{parted}/merge-previews", json=asked).json()
    assert (told["way"], told["possible"], [c["name"] for c in told["conflicts"]]) == (
        "merge",
        False,
        ["both"],
    )
    refused = ada.post(f"{parted}/merges", json=asked)
    assert (refused.status_code, refused.json()["kind"]) == (409, "diverged")
    assert ada.get(f"{parted}/branches/main").json()["head"]["name"] == "v2"
    made = ada.post(f"{parted}/merges", json=asked | {"method": "linear", "message": "both"})
    assert (made.status_code, made.json()["version"]["name"]) == (201, "v3")
    values = {
        name: ada.get(f"{parted}/versions/v3/tensors/{name}?count=1").json()["values"][0]
        for name in ("ours", "theirs", "both")
    }
    assert values == {"ours": 2.0, "theirs": 3.0, "both": 2.5}
    assert ada.post(f"{parted}/merges", json=asked).json() == {"version": None}
    assert ada.get(f"{parted}/versions/v3").json()["merge"]["versions"]["theirs"] == ["feature@v2"]


@everywhere
def test_a_merge_waits_and_is_decided_by_two(ada: TestClient, called: Called, parted: str) -> None:
    begun = ada.post(f"{parted}/merges", json={"sources": ["feature"], "on_conflict": "stop"})
    assert begun.json()["kind"] == "diverged"
    (waiting,) = ada.get(f"{parted}/merges").json()
    assert (waiting["branch"], waiting["open"], waiting["started_by"]) == ("main", ["both"], "ada")
    assert "feature" in ada.get(f"{parted}/branches/main").json()["merge"]
    early = ada.post(f"{parted}/merges/main")
    assert (early.status_code, early.json()["kind"]) == (409, "diverged")
    eve = called("eve")
    tag = eve.get(f"{parted}/merges/main").headers["etag"]
    decision = {"target": "both", "take": "theirs", "why": "newer"}
    decided = eve.patch(f"{parted}/merges/main", json=decision, headers={"If-Match": tag})
    assert (decided.status_code, decided.json()["resolved"], decided.json()["open"]) == (200, ["both"], [])
    other = ada.patch(f"{parted}/merges/main", json={"target": "both", "take": "ours"})
    assert (other.status_code, other.json()["kind"]) == (409, "diverged")
    assert ada.patch(f"{parted}/merges/main", json={"target": "both"}).status_code == 400
    assert ada.patch(f"{parted}/merges/main", json={"target": "x", "take": "ours"}).status_code == 404
    assert ada.get(f"{parted}/merges/main").json()["conflicts"][0]["by"] == "eve"
    assert ada.post(f"{parted}/merges/main", headers={"If-Match": tag}).status_code == 412
    done = ada.post(f"{parted}/merges/main?message=done", headers={"If-Match": decided.headers["etag"]})
    assert (done.status_code, done.json()["name"]) == (201, "v3")
    assert ada.get(f"{parted}/versions/v3/tensors/both?count=1").json()["values"] == [3.0]
    assert ada.get(f"{parted}/merges").json() == []
    assert ada.get(f"{parted}/merges/main").status_code == 404


def test_a_merge_is_given_up(ada: TestClient, parted: str) -> None:
    ada.post(f"{parted}/merges", json={"sources": ["feature"], "on_conflict": "stop"})
    assert ada.delete(f"{parted}/merges/main?why=later").status_code == 204
    assert ada.delete(f"{parted}/merges/main").status_code == 404
    assert ada.get(f"{parted}/branches/main").json()["head"]["name"] == "v2"


def test_picking_and_taking_back(ada: TestClient, parted: str) -> None:
    picked = ada.post(f"{parted}/cherry-picks", json={"version": "feature", "method": "linear"})
    assert picked.status_code == 201, picked.text
    assert ada.get(f"{parted}/versions/v3/tensors/theirs?count=1").json()["values"] == [3.0]
    back = ada.post(f"{parted}/reverts", json={"version": "v3"})
    assert back.status_code == 201, back.text
    assert ada.get(f"{parted}/versions/v4/tensors/theirs?count=1").json()["values"] == [1.0]


STRANGE: list[dict[str, Any]] = [
    {"evaluate": "touch /tmp/owned", "candidates": ["ours"]},
    {"with_code": True},
    {"names": "/etc/passwd"},
    {"method": "nonsense"},
    {"sources": []},
    {"sources": ["nothing"]},
    {"into": "nothing"},
]


def test_a_merge_runs_nothing_on_the_server(ada: TestClient, parted: str) -> None:
    """What would is no part of the body: unknown names are passed over, and the merge is refused as it would be."""
    for said in STRANGE:
        answer = ada.post(f"{parted}/merges", json={"sources": ["feature"]} | said)
        assert answer.status_code in (400, 404, 409, 422), answer.text
    assert ada.get(f"{parted}/branches/main").json()["head"]["name"] == "v2"


@everywhere
def test_the_log_and_the_graph(ada: TestClient, called: Called, parted: str) -> None:
    called("eve").put(f"{parted}/tags/t", json={"version": "v1"})
    pages: list[Any] = []
    after = ""
    while True:
        page = ada.get(f"{parted}/log?limit=3{after}").json()
        pages += page["moves"]
        if "next" not in page:
            break
        after = f"&after={page['next']}"
    assert (pages[0]["ref"], pages[0]["actor"], pages[0]["name"]) == ("tag/t", "eve", "v1")
    own = ada.get(f"{parted}/log?ref=branch/feature").json()["moves"]
    assert [(m["act"], m["name"]) for m in own] == [("save", "v2"), ("create branch", "v1")]
    first = ada.get(f"{parted}/graph?limit=2").json()
    rest = ada.get(f"{parted}/graph?limit=2&after={first['next']}").json()
    nodes = first["versions"] + rest["versions"]
    assert [(n["branch"], n["name"]) for n in nodes] == [("feature", "v2"), ("main", "v2"), ("main", "v1")]
    assert nodes[0]["above"] == [nodes[2]["first"]]
    assert nodes[2]["labels"] == ["tag/t"]
    only = ada.get(f"{parted}/graph?branch=feature").json()["versions"]
    assert [(n["branch"], n["name"]) for n in only] == [("feature", "v2"), ("main", "v1")]
    one = ada.get(f"{parted}/graph?branch=feature&limit=1").json()
    other = ada.get(f"{parted}/graph?branch=feature&limit=1&after={one['next']}").json()
    assert one["versions"] + other["versions"] == only
    assert "next" not in other
    for wrong in (first["next"], "!", one["next"][:-4]):
        assert ada.get(f"{parted}/graph?branch=feature&after={wrong}").status_code == 400


def test_readers_change_nothing(called: Called, ada: TestClient, parted: str) -> None:
    guest = called("guest")
    before = ada.get(f"{parted}/log").json()
    for method, path, body in (
        ("POST", "versions", {"files": []}),
        ("PATCH", "versions/v1", {"message": "x"}),
        ("DELETE", "versions/v1", None),
        ("POST", "rollbacks", {"version": "v1"}),
        ("POST", "branches", {"name": "x"}),
        ("PATCH", "branches/main", {"name": "x"}),
        ("DELETE", "branches/feature", None),
        ("PUT", "tags/x", {"version": "v1"}),
        ("PUT", "aliases/x", {"version": "v1"}),
        ("DELETE", "tags/x", None),
        ("DELETE", "aliases/x", None),
        ("POST", "merges", {"sources": ["feature"]}),
        ("POST", "merges/main", None),
        ("PATCH", "merges/main", {"target": "x"}),
        ("DELETE", "merges/main", None),
        ("POST", "cherry-picks", {"version": "v1"}),
        ("POST", "reverts", {"version": "v1"}),
    ):
        answer = guest.request(method, f"{HERE}/{path}", json=body)
        assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden"), (method, path)
    assert ada.get(f"{parted}/log").json() == before
