"""Server-sent events over a real connection: as it happens, from where one was, until it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from lepton_ai.server.routes.events import OF_ONE
from tests.server.processes import Server, make, started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make(tmp_path_factory.mktemp("events") / "team")
    with started(folder, LEPTON_AI_SERVER_HEARTBEAT="0.3") as server:
        yield server


@pytest.fixture
def place(server: Server, request: pytest.FixtureRequest) -> str:
    name = f"r{abs(hash(request.node.name)) % 10**9}"
    made = httpx.post(
        f"{server.address}/api/v1/repositories", json={"owner": "ana", "name": name}, headers=_headers(server)
    )
    assert made.status_code == 201, made.text
    return f"ana/{name}"


_TOKENS: dict[str, dict[str, str]] = {}


def _headers(server: Server) -> dict[str, str]:
    if server.address not in _TOKENS:
        _TOKENS[server.address] = server.token()
    return _TOKENS[server.address]


def _branch(server: Server, place: str, name: str) -> None:
    where = f"{server.address}/api/v1/repositories/{place}/branches"
    answer = httpx.post(where, json={"name": name}, headers=_headers(server))
    assert answer.status_code == 201, answer.text


def _follow(
    server: Server, place: str, last: str | None = None, headers: dict[str, str] | None = None
) -> Any:
    more = {} if last is None else {"Last-Event-ID": last}
    where = f"{server.address}/api/v1/events"
    given = (headers or _headers(server)) | more
    return httpx.stream("GET", where, params={"repository": place}, headers=given, timeout=30)


def _events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    for line in lines:
        if line == "" and event:
            yield event
            event = {}
        elif ": " in line:
            name, _, value = line.partition(": ")
            event[name or "comment"] = value


def test_what_happens_is_told_as_it_happens(server: Server, place: str) -> None:
    with _follow(server, place) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no"
        events = _events(stream.iter_lines())
        assert "retry" in next(events)
        _branch(server, place, "one")
        told = next(event for event in events if "event" in event)
        data = json.loads(told["data"])
        assert (told["event"], data["ref"], data["actor"]) == ("branch-created", "branch/one", "ana")
        assert told["id"] == str(data["number"])


def test_who_comes_again_misses_nothing_and_gets_nothing_twice(server: Server, place: str) -> None:
    for name in ("one", "two", "three"):
        _branch(server, place, name)
    with _follow(server, place, "0") as stream:
        told = [event for event, _ in zip(_named(stream), range(3), strict=False)]
    with _follow(server, place, told[-1]["id"]) as stream:
        told.append(next(_named(stream)))
    refs = [json.loads(event["data"])["ref"] for event in told]
    assert refs == ["branch/main", "branch/one", "branch/two", "branch/three"]
    assert [int(event["id"]) for event in told] == [1, 2, 3, 4]


def _named(stream: httpx.Response) -> Iterator[dict[str, str]]:
    return (event for event in _events(stream.iter_lines()) if "event" in event)


def test_a_quiet_stream_shows_that_it_lives(server: Server, place: str) -> None:
    with _follow(server, place) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith(":"))
        assert [next(lines), next(lines)] == [": alive", ": alive"]


def test_the_stream_ends_with_the_login(server: Server, place: str) -> None:
    token = server.token("read")
    with _follow(server, place, headers=token) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert httpx.post(f"{server.address}/api/v1/logout", headers=token).status_code == 204
        assert list(lines)[-1] in {"", ": alive"}  # it ended, and in order


def test_who_may_not_read_hears_nothing(server: Server, place: str) -> None:
    where = f"{server.address}/api/v1/events"
    assert httpx.get(where, params={"repository": place}).status_code == 401
    missing = httpx.get(where, params={"repository": "ana/nothing"}, headers=_headers(server))
    assert (missing.status_code, missing.json()["kind"]) == (404, "not-found")
    for wrong in ("x", "-1", "1.5"):
        with _follow(server, place, wrong) as stream:
            assert stream.status_code == 400


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    with started(make(tmp_path / "s")) as server:
        made = {"owner": "ana", "name": "x"}
        headers = server.token()
        assert (
            httpx.post(f"{server.address}/api/v1/repositories", json=made, headers=headers).status_code == 201
        )
        with _follow(server, "ana/x", headers=headers) as stream:
            lines = stream.iter_lines()
            next(lines)
            assert server.stop() == 0
            assert all(line in {"", ": alive"} for line in lines)  # to its end, without an error


def test_one_person_does_not_take_all_streams(server: Server, place: str) -> None:
    with ExitStack() as many:
        kept = []  # an iterator that is let go of closes its stream
        for _ in range(OF_ONE):
            kept.append(many.enter_context(_follow(server, place)).iter_lines())
            assert next(kept[-1]).startswith("retry")
        with _follow(server, place) as one_more:
            assert one_more.status_code == 503
    for _ in range(200):
        with _follow(server, place) as again:
            if again.status_code == 200:
                return
    raise AssertionError("a place that was given up is still taken")
