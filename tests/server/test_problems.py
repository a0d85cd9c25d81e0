"""Every error becomes a problem with its kind; what nobody expected tells nothing but an id."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from lepton_ai import errors, wire
from lepton_ai.server import problems
from lepton_ai.server.access import Caller
from lepton_ai.server.bodies import Sent
from lepton_ai.server.metrics import Metrics
from lepton_ai.server.requests import Requests

ALL = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.LeptonError)]


def _client() -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(Requests, metrics=Metrics())

    @app.get("/raise/{name}")
    def raise_it(name: str, request: Request, known: bool = True) -> None:
        if known:
            request.state.caller = Caller("ada", 1, False, frozenset())
        raise getattr(errors, name)("it went wrong", hint="do this")

    @app.get("/secret")
    def secret() -> None:
        raise RuntimeError("the password is swordfish")

    @app.post("/body")
    def body(body: Sent[wire.NewToken]) -> dict[str, Any]:
        return {"name": body.name}

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
def test_every_kind_has_its_answer(kind: type[errors.LeptonError]) -> None:
    answer = _client().get(f"/raise/{kind.__name__}", headers={"X-Request-ID": "abc-1"})
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["kind"], body["detail"], body["hint"]) == (kind.kind, "it went wrong", "do this")
    assert body["status"] == answer.status_code >= 400
    assert body["instance"] == answer.headers["x-request-id"] == "abc-1"
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
def test_strangers_are_not_told_what_fails_inside(
    kind: type[errors.LeptonError], caplog: pytest.LogCaptureFixture
) -> None:
    """The name of a database, of its user, of a folder: the log has them, with the request's id."""
    answer = _client().get(f"/raise/{kind.__name__}?known=false", headers={"X-Request-ID": "abc-1"})
    inside = answer.status_code >= 500
    assert ("it went wrong" in answer.text) != inside
    assert answer.json()["kind"] == kind.kind
    told = [record for record in caplog.records if "it went wrong" in record.getMessage()]
    assert [getattr(record, "request_id", "") for record in told] == ["abc-1"] * inside


def test_statuses_are_those_that_clients_rely_on() -> None:
    said = {kind.kind: problems.status_of(kind("x")) for kind in ALL}
    assert said == {
        "error": 500, "usage": 400, "invalid-name": 422, "not-found": 404, "already-exists": 409,
        "ambiguous": 409, "in-use": 409, "would-overwrite": 409, "untrusted": 422, "missing-extra": 422,
        "unsupported": 422, "not-allowed": 403, "unauthenticated": 401, "forbidden": 403,
        "too-many-requests": 429, "conflict": 409, "lost-race": 409, "busy": 503, "diverged": 409,
        "infrastructure": 502, "no-space": 507, "key-missing": 409, "storage-failed": 502,
        "integrity": 500, "damaged": 500, "too-new": 500,
    }  # fmt: skip
    assert problems.status_of(problems.Changed("x")) == 412
    assert problems.Changed.kind == "lost-race"


def test_what_nobody_expected_tells_only_an_id(caplog: pytest.LogCaptureFixture) -> None:
    answer = _client().get("/secret")
    assert answer.status_code == 500
    assert "swordfish" not in answer.text
    assert answer.json()["kind"] == "internal"
    assert answer.headers["x-request-id"] in answer.json()["hint"]
    assert caplog.records[-1].request_id == answer.headers["x-request-id"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 400, "JSON"),
        (b'{"name": 1}', 422, "Expected `str`, got `int`"),
        (b"[]", 422, "object"),
        (b"", 422, ""),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_where(content: bytes, status: int, words: str) -> None:
    answer = _client().post("/body", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["kind"]) == (status, "usage")
    assert words in answer.json()["detail"]
    assert answer.json()["fields"]


def test_an_address_and_a_method_that_are_not_there() -> None:
    missing, wrong = _client().get("/nowhere"), _client().delete("/body")
    assert (missing.status_code, missing.json()["kind"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["kind"]) == (405, "usage")
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("given", ["x" * 65, "a b", "a\tb", "", "ü".encode(), "{}"])
def test_a_request_id_that_does_not_fit_is_replaced(given: str | bytes) -> None:
    answer: httpx.Response = _client().get("/nowhere", headers={"X-Request-ID": given})
    assert len(answer.headers["x-request-id"]) == 32
