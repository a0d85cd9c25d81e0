"""Versions through HTTP, as a person or the UI walks through them."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient

from tests.server.databases import everywhere

HERE = "/api/v1/repositories/ada/digits"


@pytest.fixture
def place(ada: TestClient) -> str:
    assert ada.post("/api/v1/repositories", json={"owner": "ada", "name": "digits"}).status_code == 201
    return HERE


def weights(seed: int, **more: Any) -> bytes:
    generator = np.random.default_rng(seed)
    tensors = {
        "layer.weight": generator.normal(size=(64, 32)).astype("float32"),
        "layer.bias": np.zeros(64, "float32"),
    }
    return bytes(safetensors.numpy.save(tensors | more))


def save(http: TestClient, data: bytes, **more: Any) -> Any:
    body = {"files": [{"path": "model.safetensors", "content": base64.b64encode(data).decode()}]} | more
    answer = http.post(f"{HERE}/versions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@everywhere
def test_a_day_with_versions(ada: TestClient, place: str) -> None:
    first, second = weights(1), weights(2)
    made = save(
        ada,
        first,
        metrics={"accuracy": 0.5, "loss": "NaN"},
        params={"lr": 0.1},
        message="the first",
        dataset="mnist",
    )
    assert (made["name"], made["branch"], made["author"], made["revision"]) == ("v1", "main", "ada", 1)
    assert made["new_bytes"] > 0
    save(ada, second, metrics={"accuracy": 0.75}, history={"loss": [1.0, 0.5]})
    listed = ada.get(f"{place}/versions").json()
    assert [v["name"] for v in listed["versions"]] == ["v2", "v1"]
    assert listed["versions"][1]["metrics"] == {"accuracy": 0.5, "loss": "NaN"}
    page = ada.get(f"{place}/versions?limit=1").json()
    rest = ada.get(f"{place}/versions?limit=1&after={page['next']}").json()
    assert [page["versions"][0]["name"], rest["versions"][0]["name"]] == ["v2", "v1"]
    assert "next" not in rest
    found = ada.get(f"{place}/versions", params={"where": "metrics.accuracy < 0.6"}).json()
    assert [v["name"] for v in found["versions"]] == ["v1"]
    ordered = ada.get(f"{place}/versions", params={"order_by": "metrics.accuracy"}).json()
    assert [v["name"] for v in ordered["versions"]] == ["v1", "v2"]
    bad = ada.get(f"{place}/versions", params={"where": "metrics.accuracy <"})
    assert (bad.status_code, bad.json()["kind"]) == (400, "usage")

    shown = ada.get(f"{place}/versions/v1")
    facts = shown.json()
    assert (facts["message"], facts["params"], facts["dataset"]["name"]) == (
        "the first",
        {"lr": 0.1},
        "mnist",
    )
    assert facts["files"][0]["sha256"] == hashlib.sha256(first).hexdigest()
    assert facts["code"] is None
    assert ada.get(f"{place}/versions/v2").json()["history"] == {"loss": [1.0, 0.5]}
    tag = shown.headers["etag"]
    assert ada.get(f"{place}/versions/v1", headers={"If-None-Match": tag}).status_code == 304

    fresh = {"If-Match": tag}
    updated = ada.patch(f"{place}/versions/v1", json={"metrics": {"accuracy": 0.6}}, headers=fresh)
    assert (updated.status_code, updated.json()["revision"], updated.json()["metrics"]) == (
        200,
        2,
        {"accuracy": 0.6},
    )
    assert [r["revision"] for r in ada.get(f"{place}/versions/v1/revisions").json()] == [1, 2]
    assert ada.get(f"{place}/versions/v1~1").json()["metrics"] == {"accuracy": 0.5, "loss": "NaN"}
    late = ada.patch(f"{place}/versions/v1", json={"message": "late"}, headers={"If-Match": tag})
    assert late.status_code == 412
    tag = updated.headers["etag"]
    assert ada.get(f"{place}/versions/v1").headers["etag"] == tag
    again = ada.patch(f"{place}/versions/v1", json={"message": "in time"}, headers={"If-Match": tag})
    assert (again.status_code, again.json()["revision"]) == (200, 3)

    back = ada.post(f"{place}/rollbacks", json={"version": "v1", "message": "v2 was bad"})
    assert (back.status_code, back.json()["name"]) == (201, "v3")
    assert ada.get(f"{place}/versions/v3/files/model.safetensors").content == first
    assert ada.delete(f"{place}/versions/v3", headers={"If-Match": tag}).status_code == 412
    assert (
        ada.delete(
            f"{place}/versions/v3", params={"why": "a mistake"}, headers={"If-Match": back.headers["etag"]}
        ).status_code
        == 204
    )
    assert [v["name"] for v in ada.get(f"{place}/versions").json()["versions"]] == ["v2", "v1"]
    gone = ada.get(f"{place}/versions", params={"deleted": True}).json()["versions"]
    assert [(v["name"], v["status"]) for v in gone] == [("v3", "Deleted"), ("v2", "Active"), ("v1", "Active")]
    assert ada.get(f"{place}/versions/v3/files").status_code == 404
    restored = ada.patch(f"{place}/versions/v3", json={"deleted": False})
    assert (restored.status_code, restored.json()["status"]) == (200, "Active")
    assert ada.get(f"{place}/branches/main").json()["head"]["name"] == "v2"  # restoring moves no branch


def test_files_come_back_in_ranges(ada: TestClient, place: str) -> None:
    data = weights(3)
    save(ada, data)
    whole = ada.get(f"{place}/versions/v1/files/model.safetensors")
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert "model.safetensors" in whole.headers["content-disposition"]
    assert whole.headers["cache-control"] == "private, no-cache", "v1 may have another revision tomorrow"
    part = ada.get(f"{place}/versions/v1/files/model.safetensors", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, data[100:300])
    assert ada.get(f"{place}/versions/v1/files/other").status_code == 404
    assert ada.get(f"{place}/versions/v1/files").json()[0]["path"] == "model.safetensors"


def test_large_files_are_uploaded_before(
    ada: TestClient, called: Callable[[str], TestClient], place: str
) -> None:
    data = os.urandom(3 << 20)
    begun = ada.post(
        f"{place}/uploads", json={"pack": hashlib.sha256(data).hexdigest(), "size": len(data)}
    ).json()
    for first in range(0, len(data), 1 << 20):
        headers = {"Content-Range": f"bytes {first}-{min(first + (1 << 20), len(data)) - 1}/{len(data)}"}
        sent = ada.put(
            f"{place}/uploads/{begun['id']}", content=data[first : first + (1 << 20)], headers=headers
        )
        assert sent.status_code == 200, sent.text
    body = {"files": [{"path": "deep/model.bin", "upload": begun["id"], "executable": True}]}
    assert called("eve").post(f"{place}/versions", json=body).status_code == 404
    made = ada.post(f"{place}/versions", json=body)
    assert made.status_code == 201, made.text
    assert ada.get(f"{place}/versions/v1/files/deep/model.bin").content == data
    assert ada.get(f"{place}/versions/v1/files").json()[0]["executable"]
    assert ada.get(f"{place}/uploads/{begun['id']}").json()["held"] == 0


STRANGE: list[list[dict[str, Any]]] = [
    [],
    [{"path": "../x", "content": "AAAA"}],
    [{"path": "/etc/passwd", "content": "AAAA"}],
    [{"path": ".lepton/config.json", "content": "AAAA"}],
    [{"path": "x"}],
    [{"path": "x", "content": "AAAA", "upload": "y"}],
    [{"path": "x", "upload": "../../etc/passwd"}],
    [{"path": "x", "content": "AAAA"}, {"path": "x", "content": "BBBB"}],
    [{"path": "x", "content": "AAAA"}, {"path": "x/y", "content": "BBBB"}],
]


def test_files_that_cannot_be(ada: TestClient, place: str) -> None:
    for files in STRANGE:
        answer = ada.post(f"{place}/versions", json={"files": files})
        assert answer.status_code in (400, 404, 422), answer.text
    assert ada.get(f"{place}/versions").json()["versions"] == []


def test_an_upload_that_is_not_what_was_announced(ada: TestClient, place: str) -> None:
    begun = ada.post(f"{place}/uploads", json={"pack": "ab" * 32, "size": 4}).json()
    ada.put(f"{place}/uploads/{begun['id']}", content=b"evil", headers={"Content-Range": "bytes 0-3/4"})
    answer = ada.post(f"{place}/versions", json={"files": [{"path": "x", "upload": begun["id"]}]})
    assert (answer.status_code, answer.json()["kind"]) == (409, "conflict")


def test_tensors(ada: TestClient, place: str) -> None:
    strange = np.array([1.0, np.nan, np.inf, 0.0, -3.0], "float32")
    save(ada, weights(4, strange=strange))
    save(ada, weights(5, strange=strange * 2))
    page = ada.get(f"{place}/versions/v1/tensors?limit=2").json()
    rest = ada.get(f"{place}/versions/v1/tensors?limit=2&after={page['next']}").json()
    names = [t["name"] for t in page["tensors"] + rest["tensors"]]
    assert sorted(names) == ["layer.bias", "layer.weight", "strange"]
    told = ada.get(f"{place}/versions/v1/tensors/strange").json()
    assert told["values"] == [1.0, "NaN", "Infinity", 0.0, -3.0]
    assert (told["min"], told["max"], told["zeros"], told["not_finite"]) == (-3.0, 1.0, 1, 2)
    assert told["mean"] == pytest.approx(-2 / 3)
    part = ada.get(f"{place}/versions/v1/tensors/layer.weight?start=10&count=5&statistics=false").json()
    want = np.random.default_rng(4).normal(size=(64, 32)).astype("float32").ravel()[10:15]
    assert part["values"] == pytest.approx(want.tolist())
    assert "mean" not in part
    full = ada.get(f"{place}/versions/v1/tensors/model.safetensors:layer.weight").json()
    whole = np.random.default_rng(4).normal(size=(64, 32)).astype("float32").astype("float64")
    assert (full["mean"], full["std"]) == pytest.approx((whole.mean(), whole.std()))
    assert ada.get(f"{place}/versions/v1/tensors/nothing").status_code == 404
    assert ada.get(f"{place}/versions/v1/tensors/strange?start=99").status_code == 400
    course = ada.get(f"{place}/tensor-histories/strange?element=4").json()
    assert [point["value"] for point in course["points"]] == [-3.0, -6.0]
    assert ada.get(f"{place}/tensor-histories/strange?element=x").status_code == 400


def test_a_difference_and_its_page(ada: TestClient, place: str) -> None:
    save(ada, weights(6), metrics={"accuracy": 0.5})
    save(ada, weights(7), metrics={"accuracy": 0.75})
    told = ada.get(f"{place}/diff?before=v1&after=v2").json()
    assert [t["name"] for t in told["tensors"]] == ["layer.weight"]
    assert told["metrics"][0]["delta"] == 0.25
    assert ada.get(f"{place}/diff?before=v2").json()["before"]["id"] == told["before"]["id"]
    page = ada.get(f"{place}/diff.html?before=v1&after=v2")
    assert page.headers["content-type"].startswith("text/html")
    assert "layer.weight" in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    for path in ("/etc/passwd", "./pyproject.toml", "~"):
        assert ada.get(f"{place}/diff", params={"before": path, "after": "v1"}).status_code in (404, 422)


def test_an_export_can_be_imported(ada: TestClient, place: str, tmp_path: Any) -> None:
    from lepton_ai import ModelRepository

    data = weights(8)
    save(ada, data, metrics={"accuracy": 0.5})
    answer = ada.get(f"{place}/versions/v1/export")
    assert answer.status_code == 200
    (tmp_path / "v1.lepton").write_bytes(answer.content)
    with ModelRepository(tmp_path / "other", encrypt=False) as other:
        taken = other.import_version(tmp_path / "v1.lepton")
        assert taken.metrics == {"accuracy": 0.5}
        assert taken.checkout(tmp_path / "out")[0].read_bytes() == data
    sent = {"content": base64.b64encode(answer.content).decode(), "name": "back"}
    back = ada.post(f"{place}/imports", json=sent)
    assert (back.status_code, back.json()["name"], back.json()["metrics"]) == (201, "back", {"accuracy": 0.5})
    assert ada.get(f"{place}/versions/back/files/model.safetensors").content == data
    for bad in ({"content": "AAAA"}, {}, {"upload": "x"}, {"content": sent["content"][:-400]}):
        refused = ada.post(f"{place}/imports", json=bad)
        assert refused.status_code in (400, 404, 422), refused.text
        assert "cache" not in refused.text, "where the server keeps what arrives is its own affair"
    assert len(ada.get(f"{place}/versions").json()["versions"]) == 2


@everywhere
def test_a_branch_and_a_filter_are_both_meant(ada: TestClient, place: str) -> None:
    save(ada, weights(1))
    ada.post(f"{place}/branches", json={"name": "other"})
    save(ada, weights(2), branch="other")
    found = ada.get(f"{place}/versions", params={"branch": "other", "where": "name = 'v1') OR (name != 'x'"})
    assert (found.status_code, found.json()["kind"]) == (400, "usage")
    assert "column 12" in found.json()["detail"]
    one = ada.get(f"{place}/versions", params={"branch": "other", "where": "size > 0 OR name = 'v1'"}).json()
    assert [version["branch"] for version in one["versions"]] == [
        "other",
        "main",
    ]  # what it has, as its list shows
    save(ada, weights(3))
    for asked in ({}, {"where": "size > 0"}, {"order_by": "created DESC"}):
        pages = [ada.get(f"{place}/versions", params={"branch": "other", "limit": 1, **asked}).json()]
        while "next" in pages[-1]:
            after = pages[-1]["next"]
            pages.append(
                ada.get(
                    f"{place}/versions", params={"branch": "other", "limit": 1, "after": after, **asked}
                ).json()
            )
        assert [page["versions"][0]["name"] for page in pages] == ["v2", "v1"]
    assert ada.get(f"{place}/versions", params={"branch": "nope"}).status_code == 404
