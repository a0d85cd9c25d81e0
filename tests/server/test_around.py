"""What is around every request: host names, sizes, times, rates, numbers, log lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import Request
from starlette.testclient import TestClient

from lepton_ai.errors import NoSpace, Unauthenticated
from lepton_ai.server import auth, logs
from lepton_ai.server.access import Caller, allow
from lepton_ai.server.app import create_app
from lepton_ai.server.buckets import Buckets
from lepton_ai.server.places import address_of
from lepton_ai.server.settings import ServerSettings
from tests.server.conftest import ADDRESS


def _caller() -> Caller:
    return Caller("ana", 1, True, frozenset({"read", "write", "admin"}))


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def identify(running: Any, request: Request) -> Caller:
        if request.headers.get("authorization") != "Bearer good":
            raise Unauthenticated("this needs a login")
        return _caller()

    monkeypatch.setattr(auth, "identify", identify)


def _client(settings: ServerSettings, **changed: Any) -> TestClient:
    app = create_app(msgspec.structs.replace(settings, **changed))

    @app.post("/size")
    async def size(request: Request) -> int:
        allow(request.state.caller, "read")
        return len(await request.body())

    @app.get("/slow")
    def slow(request: Request, seconds: float) -> str:
        allow(request.state.caller, "read")
        time.sleep(seconds)
        return "done"

    @app.get("/unasked")
    def unasked() -> str:
        return "a secret"

    headers = {"Authorization": "Bearer good"}
    return TestClient(app, base_url=ADDRESS, raise_server_exceptions=False, headers=headers)


def test_an_answer_that_nobody_allowed_is_not_sent(settings: ServerSettings, somebody: None) -> None:
    answer = _client(settings).get("/unasked")
    assert (answer.status_code, answer.json()["kind"]) == (500, "internal")
    assert "a secret" not in answer.text


def test_a_request_to_another_name_is_refused(closed: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8750", ""):
        answer = closed.get("/api/v1/openapi.json", headers={"Host": host})
        assert answer.status_code == 421, host
        assert closed.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("localhost", "LOCALHOST:1", "[::1]:8750", "127.0.0.1"):
        assert closed.get("/api/v1/openapi.json", headers={"Host": host}).status_code == 200, host


def test_careful_headers_are_on_every_answer(closed: TestClient) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/openapi.json"):
        headers = closed.get(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
        assert not any(name.startswith("access-control") for name in headers)
    assert "strict-transport-security" in closed.get("https://127.0.0.1/healthz").headers


@pytest.mark.usefixtures("somebody")
def test_what_is_too_large_is_refused_told_or_counted(settings: ServerSettings) -> None:
    client = _client(settings, body_limit=100_000)

    def parts() -> Iterator[bytes]:
        yield from [b"x" * 60_000] * 2

    assert client.post("/size", content=b"x" * 100_000).json() == 100_000
    for content in (b"x" * 100_001, parts()):
        answer = client.post("/size", content=content)
        assert (answer.status_code, answer.json()["kind"]) == (413, "usage")


@pytest.mark.usefixtures("somebody")
def test_whoever_takes_too_long_is_told_so_and_its_answer_dropped(settings: ServerSettings) -> None:
    client = _client(settings, timeout=0.05)
    answer = client.get("/slow?seconds=0.5")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.get("/slow?seconds=0").json() == "done"


def test_a_body_that_stops_coming_is_given_up(settings: ServerSettings, somebody: None) -> None:
    app = _client(settings, idle=0.05).app
    sent: list[Any] = []

    async def ask() -> None:
        begun = False

        async def receive() -> Any:
            nonlocal begun
            if begun:
                await asyncio.Event().wait()
            begun = True
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/size", "raw_path": b"/size", "query_string": b"",
                 "scheme": "http", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "http_version": "1.1",
                 "headers": [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer good")], "root_path": ""}  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408


@pytest.mark.usefixtures("somebody")
def test_a_caller_that_asks_too_often_waits(settings: ServerSettings) -> None:
    client = _client(settings, rate=0.01, burst=3)
    answers = [client.post("/size") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers][:3] == [
        f'"caller";r={n};t=0' for n in (2, 1, 0)
    ]
    assert answers[3].json()["kind"] == "too-many-requests"
    assert 90 <= int(answers[3].headers["retry-after"]) <= 101
    assert client.get("/healthz").status_code == 200


@pytest.mark.usefixtures("somebody")
def test_an_address_that_fails_too_often_is_not_looked_up(settings: ServerSettings) -> None:
    client = _client(settings, rate=0.01, burst=3)
    bad = {"Authorization": "Bearer bad"}
    assert [client.post("/size", headers=bad).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_bucket_fills_again_and_forgets() -> None:
    now = 0.0
    buckets = Buckets("x", rate=2.0, burst=4, clock=lambda: now)
    assert [buckets.take("a").wait for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.take("b").left == 3
    now = 0.5
    assert buckets.take("a", 0).wait == 0
    assert buckets.take("a").wait == 0
    assert buckets.take("a").wait == 0.5
    now = 1000.0
    assert buckets.take("a").left == 3


def test_an_ipv6_customer_is_one_address() -> None:
    told = [
        address_of({"client": (host, 1)})
        for host in ("2001:db8:1:2::5", "2001:db8:1:2:ffff::1", "::1", "10.0.0.1")
    ]
    assert told == ["2001:db8:1:2", "2001:db8:1:2", "0:0:0:0", "10.0.0.1"]


def test_metrics_are_for_this_machine_and_named_by_template(settings: ServerSettings, somebody: None) -> None:
    app = _client(settings).app

    def client(host: str, **headers: str) -> httpx.Response:
        return TestClient(app, base_url=ADDRESS, client=(host, 1), headers=headers).get("/metrics")

    assert client("127.0.0.1", **{"X-Forwarded-For": "8.8.8.8"}).status_code == 401
    assert client("10.0.0.1").status_code == 401
    text = client("127.0.0.1").text
    assert 'lepton_ai_http_requests_total{method="GET",route="/metrics",status="401"} 2.0' in text
    assert "lepton_ai_http_requests_in_flight 1.0" in text
    assert 'lepton_ai_http_request_seconds_bucket{le="0.005"' in text


def test_a_line_of_the_log_is_json_and_has_no_secret() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines())
    logger = logging.Logger("lepton_ai.test")
    logger.addHandler(handler)
    secrets = ["lai_abc_s3cr3t-x_y", "postgresql://me:hunter2@db/x", "password=hunter2", '"secret": "hunter2"',
               "https://s3/x?X-Amz-Signature=hunter2&a=1"]  # fmt: skip
    try:
        int(" ".join(secrets))
    except ValueError:
        logger.exception("it failed: %s", " ".join(secrets), extra={"request_id": "r1", "status": 500})
    line = json.loads(stream.getvalue())
    assert (line["request_id"], line["status"], line["level"]) == ("r1", 500, "error")
    assert "hunter2" not in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()
    assert "lai_abc_***" in line["message"]
    assert "ValueError" in line["traceback"]


def test_a_full_disk_is_one_line_without_a_traceback(
    somebody: None, settings: ServerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/full")
    def full(request: Request) -> str:
        allow(request.state.caller, "read")
        raise NoSpace("the disk of\n/objects is full", hint="free 3 GiB")

    client = TestClient(app, base_url=ADDRESS, headers={"Authorization": "Bearer good"})
    with caplog.at_level(logging.INFO, "lepton_ai.server"):
        assert client.get("/full").status_code == 507
    said, request = [
        json.loads(logs.Lines().format(record))
        for record in caplog.records
        if record.name == "lepton_ai.server"
    ]
    assert (said["level"], said["message"]) == (
        "warning",
        "no-space: the disk of /objects is full (free 3 GiB)",
    )
    assert (request["level"], request["status"]) == ("error", 507)
    assert said["request_id"] == request["request_id"]
    assert "traceback" not in said
    assert "traceback" not in request


def test_a_known_error_in_a_record_needs_no_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines())
    logger = logging.Logger("lepton_ai.test")
    logger.addHandler(handler)
    full = NoSpace("the disk is full at postgresql://me:hunter2@db/x")
    logger.error("failed", exc_info=full)
    told = json.loads(stream.getvalue())
    assert told["problem"] == "no-space: the disk is full at postgresql://me:***@db/x"
    assert "traceback" not in told


def test_a_request_is_one_line_without_its_query(
    closed: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lepton_ai.server"):
        closed.get("/api/v1/nowhere?token=lai_a_b")
        closed.get("/healthz")
    (record,) = [record for record in caplog.records if record.name == "lepton_ai.server"]
    told = json.loads(logs.Lines().format(record))
    assert (told["path"], told["status"], told["method"]) == ("/api/v1/nowhere", 401, "GET")
    assert "token" not in logs.Lines().format(record)
